package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

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
			&cli.StringFlag{Name: "reason", Usage: "why, as a `NAME` such as the fail2ban jail", DefaultText: "manual"},
			&cli.StringFlag{Name: "bantime", Value: "-1", Usage: "`TIME` in seconds, or 90m, 24h, 30d, 1w; -1 is permanent"},
			&cli.StringFlag{Name: "source", Usage: "the `SERVER` that reports", DefaultText: "this host"},
			&cli.StringFlag{Name: "at", Usage: "when it happened: `TIME` in seconds since 1970, or 2026-01-01T00:00:00Z", DefaultText: "now"},
			&cli.BoolFlag{Name: "force", Usage: "ban wide prefixes and those that are not globally routable"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o := banOptions{
				reason:   cleanName(c.String("reason"), "manual"),
				source:   cleanName(c.String("source"), ""),
				force:    c.Bool("force"),
				prefixes: c.Args().Slice(),
			}
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
			s, err := p.configureSender(c)
			if err != nil {
				return err
			}
			return p.ban(c.Context, s, o)
		},
	}
}

func noPrefix(c *cli.Context) error {
	return usagef("no prefix given, such as %s 203.0.113.6, or - for standard input; see %s --help", commandName(c), commandName(c))
}

// banner bans batch after batch. The store is opened at the first one, so that a call without any valid prefix needs none.
type banner struct {
	*sender
	o     banOptions
	never *neverBan

	banned, refused int
}

func (p *process) ban(ctx context.Context, s *sender, o banOptions) error {
	if o.source == "" {
		o.source = s.cfg.Source
	}
	b := &banner{sender: s, o: o}
	defer s.close()
	invalid, err := p.eachBatch(ctx, o.prefixes, func(inputs []input) error { return b.batch(ctx, inputs) })
	if err != nil {
		if b.banned > 0 {
			err = fmt.Errorf("%w; %s banned before that, the same call may be repeated", err, counted(b.banned, "prefix was", "prefixes were"))
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
	ctx, cancel := b.within(whole, len(inputs))
	defer cancel()
	if err := b.learnNever(ctx); err != nil {
		return err
	}
	var facts []store.Fact
	for _, in := range inputs {
		if err := b.never.refuse(in.Prefix, b.o.force); err != nil {
			b.refused++
			b.p.out.fail(fmt.Errorf("%s%w", in.place(), err))
			continue
		}
		if b.never.set.Overlaps(in.Prefix) {
			b.p.out.say("%s%s holds allowed addresses, which stay free", in.place(), in.Prefix)
		}
		facts = append(facts, store.Fact{
			Prefix: in.Prefix, Source: b.o.source, Reason: b.o.reason, Bantime: b.o.bantime, Forced: b.o.force && needsForce(in.Prefix),
		})
	}
	if whole.Err() != nil {
		return whole.Err()
	}
	if err := b.send(ctx, facts, b.o.at); err != nil {
		return err
	}
	b.banned += len(facts)
	return nil
}

// learnNever asks what must never be banned: the store where it answers, and this host's own list in any case. Whatever
// goes wrong, the ban is kept, and checked again where it is enforced.
func (b *banner) learnNever(ctx context.Context) (err error) {
	if b.never != nil {
		return nil
	}
	if st := b.open(ctx); st != nil {
		if b.never, err = b.p.neverBan(ctx, b.cfg, st); err == nil {
			return nil
		}
		b.failed(err)
	}
	if b.never, err = b.p.neverBan(ctx, b.cfg, nil); err != nil {
		b.never = &neverBan{private: b.cfg.AllowPrivate}
	}
	return nil
}
