package commands

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/commands/neverban"
	"f2bc/store"
)

type banOptions struct {
	reason, source string
	bantime        time.Duration
	at             time.Time // zero: now
	force          bool
	prefixes       []string
}

func (p *process) banCommand() *cli.Command {
	var o banOptions
	return &cli.Command{
		Name:      "ban",
		Usage:     "report prefixes, so that every server bans them",
		ArgsUsage: "PREFIX…",
		Description: `PREFIX is an address or CIDR; - reads them from standard input, one a line.
Each prefix that is invalid or must never be banned is named, the others are done.
Refused are: what is allowed (f2bc allow, the configuration), the hosts of the fleet, what is
not globally routable, and anything wider than /24 (IPv6 /48); --force lifts the last two.
Wider than /8 (IPv6 /19) is always refused.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "reason", Destination: &o.reason, Usage: "why, as a `NAME` such as the fail2ban jail", DefaultText: "manual"},
			&cli.StringFlag{Name: "bantime", Value: "-1", Usage: "`TIME` in seconds, or 90m, 24h, 30d, 1w; -1 is permanent"},
			&cli.StringFlag{Name: "source", Destination: &o.source, Usage: "the `SERVER` that reports", DefaultText: "this host"},
			&cli.StringFlag{Name: "at", Usage: "when it happened: `TIME` in seconds since 1970, or 2026-01-01T00:00:00Z", DefaultText: "now"},
			&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "ban wide prefixes and those that are not globally routable"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o.reason, o.source, o.prefixes = cleanName(o.reason, "manual"), cleanName(o.source, ""), c.Args().Slice()
			var err error
			if o.bantime, err = parseBantime(c.String("bantime")); err != nil {
				return err
			}
			if c.IsSet("at") {
				if o.at, err = parseAt(c.String("at")); err != nil {
					return err
				}
			}
			if len(o.prefixes) == 0 {
				return noPrefix(c)
			}
			cfg, s, err := p.configureSender(c)
			if err != nil {
				return err
			}
			return p.ban(c.Context, cfg, s, o)
		},
	}
}

func noPrefix(c *cli.Context) error {
	return usagef("no prefix given, such as %s 203.0.113.6, or - for standard input; see %s --help", commandName(c), commandName(c))
}

// banner bans batch after batch. The store is opened at the first one, so that a call without any valid prefix needs none.
type banner struct {
	*store.Sender
	p     *process
	cfg   *config
	o     banOptions
	never *neverban.List

	otherNames []string // on never-ban lists, as this host knows, that are not what is banned
	asked      bool     // never holds all of the store's list

	banned, refused int
}

func (p *process) ban(ctx context.Context, cfg *config, s *store.Sender, o banOptions) error {
	if o.source == "" {
		o.source = s.Source
	}
	b := &banner{Sender: s, p: p, cfg: cfg, o: o}
	defer p.closeSender(s)
	invalid, err := p.eachBatch(ctx, o.prefixes, func(inputs []input) error { return b.batch(ctx, inputs) })
	if err != nil {
		if b.banned > 0 {
			err = fmt.Errorf("%w; %s banned before that, the same call may be repeated", err, human.Count(b.banned, "prefix was", "prefixes were"))
		}
		return err
	}
	return done("banned", b.banned, invalid, b.refused)
}

// done is the outcome of a call with many prefixes, each invalid or refused one having been named.
func done(word string, good, invalid, refused int) error {
	switch {
	case good+invalid+refused == 1 && invalid == 1:
		return kindError{errInvalid, errSaid}
	case good+invalid+refused == 1 && refused == 1:
		return kindError{errRefused, errSaid}
	case invalid > 0:
		return invalidf("%d %s, %d invalid, %d refused", good, word, invalid, refused)
	case refused > 0:
		return refusedf("%d %s, %d refused", good, word, refused)
	}
	return nil
}

func (b *banner) batch(whole context.Context, inputs []input) error {
	ctx, cancel := b.Within(whole, len(inputs))
	defer cancel()
	b.learnNever(ctx, inputs)
	var facts []store.Fact
	for _, in := range inputs {
		if b.allowed(in) {
			facts = append(facts, store.Fact{
				Prefix: in.Prefix, Source: b.o.source, Reason: b.o.reason, Bantime: b.o.bantime, Forced: b.o.force && neverban.NeedsForce(in.Prefix),
			})
		}
	}
	if whole.Err() != nil {
		return whole.Err()
	}
	var check *store.Check
	if !b.asked {
		check = &store.Check{Names: b.otherNames, Facts: func(entries []store.Protected) ([]store.Fact, error) {
			return b.recheck(ctx, inputs, facts, entries)
		}}
	}
	sent, err := b.Send(ctx, facts, b.o.at, check)
	b.banned += len(sent)
	for _, f := range sent {
		if b.never.Overlaps(f.Prefix) {
			b.p.out.say("%s holds allowed addresses, which stay free", f.Prefix)
		}
	}
	return err
}

// allowed reports whether a prefix may be banned, and names it if not.
func (b *banner) allowed(in input) bool {
	if err := b.never.Refuse(in.Prefix, b.o.force); err != nil {
		b.refused++
		b.p.out.fail(fmt.Errorf("%s%w", in.place(), err))
		return false
	}
	return true
}

// learnNever reads this host's own never-ban list. Whatever goes wrong, the ban is kept, and checked again where it is
// enforced. The store has a list of its own, of which it tells what bears on a single prefix, or all of it: see recheck. Of a
// host name there it must know that this host has resolved it, to addresses that are not what is banned.
func (b *banner) learnNever(ctx context.Context, inputs []input) {
	if b.never != nil {
		return
	}
	var err error
	if b.never, err = b.p.neverBanOf(ctx, b.cfg, nil); err != nil {
		b.p.out.say("the never-ban list of this host is not used: %v", err)
		b.never = &neverban.List{Private: b.cfg.AllowPrivate}
	}
	if len(inputs) == 1 {
		b.otherNames = b.p.resolver(b.cfg).Beside(ctx, inputs[0].Prefix)
	}
}

// recheck is told what the store has on its never-ban list, and returns those of facts that may be written.
func (b *banner) recheck(ctx context.Context, inputs []input, facts []store.Fact, entries []store.Protected) ([]store.Fact, error) {
	never, err := b.p.neverBanOf(ctx, b.cfg, entries)
	if err != nil {
		return nil, err
	}
	b.never, b.asked = never, len(inputs) > 1
	return slices.DeleteFunc(slices.Clone(facts), func(f store.Fact) bool {
		i := slices.IndexFunc(inputs, func(in input) bool { return in.Prefix == f.Prefix })
		return !b.allowed(inputs[i])
	}), nil
}
