package commands

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
)

type unbanOptions struct {
	own            bool
	source, reason string        // empty means any
	at             time.Time     // with own: when the ban began …
	bantime        time.Duration // … and how long it was to last; zero means not given
	prefixes       []string
}

func (p *process) unbanCommand() *cli.Command {
	var o unbanOptions
	return &cli.Command{
		Name:      "unban",
		Usage:     "lift the bans of prefixes, and of every prefix inside them",
		ArgsUsage: "PREFIX…",
		Description: `Lifts everybody's reports, or those that --own, --source and --reason select; other servers
let go at their next sync. A later report bans again. PREFIX is an address or CIDR; - reads them
from standard input, one a line.

fail2ban's action calls it with --own, --at and --bantime at every natural expiry too; it then
does nothing once the ban time is over, since the store knows the expiry.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "own", Destination: &o.own, Usage: "lift only this host's reports"},
			&cli.StringFlag{Name: "source", Destination: &o.source, Usage: "lift only the reports of `SERVER`"},
			&cli.StringFlag{Name: "reason", Destination: &o.reason, Usage: "lift only the reports for the reason `NAME`"},
			&cli.StringFlag{Name: "at", Usage: "with --own: `TIME` when the ban began"},
			&cli.StringFlag{Name: "bantime", Usage: "with --own: `TIME` it was to last; nothing is done after that"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			if err := o.parse(c); err != nil {
				return err
			}
			if o.over(time.Now()) {
				return nil
			}
			if o.own {
				_, s, err := p.configureSender(c)
				if err != nil {
					return err
				}
				return p.unbanOwn(c.Context, s, o)
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			return p.unban(c.Context, cfg, o)
		},
	}
}

func (o *unbanOptions) parse(c *cli.Context) (err error) {
	o.source, o.reason, o.prefixes = cleanName(o.source, ""), cleanName(o.reason, ""), c.Args().Slice()
	switch {
	case len(o.prefixes) == 0:
		return noPrefix(c)
	case o.own && c.IsSet("source"):
		return usagef("--own lifts this host's reports, --source another's: give one of them")
	case c.IsSet("at") != c.IsSet("bantime"), c.IsSet("at") && !o.own:
		return usagef("--at and --bantime belong together, and to --own; see %s --help", commandName(c))
	case c.IsSet("at"):
		if o.at, err = parseAt(c.String("at")); err == nil {
			o.bantime, err = parseBantime(c.String("bantime"))
		}
	}
	return err
}

// over reports whether the ban time has ended by the local clock: then there is nothing to lift, and fail2ban, which
// calls at every natural expiry, need not wait for a store.
func (o unbanOptions) over(now time.Time) bool {
	return o.bantime > 0 && o.bantime != store.Forever && now.Sub(o.at) >= o.bantime
}

// unbanOwn lifts this host's reports, now or when the store takes it.
func (p *process) unbanOwn(ctx context.Context, s *store.Sender, o unbanOptions) error {
	o.source = s.Source
	u := &unbanner{p: p, o: o}
	defer p.closeSender(s)
	invalid, err := p.eachBatch(ctx, o.prefixes, func(inputs []input) error {
		ctx, cancel := s.Within(ctx, len(inputs))
		defer cancel()
		_, err := s.Send(ctx, u.facts(inputs), time.Time{}, nil)
		if u.st = s.Store(); err == nil && u.st != nil && o.at.IsZero() { // fail2ban, which gives a time, is not told
			if err := u.readBack(ctx); err != nil {
				p.out.say("unbanned, but what is left could not be read: %v", err)
			}
			u.lifted = u.lifted[:0]
		}
		u.done += len(inputs)
		return err
	})
	if err == nil {
		err = u.outcome(invalid)
	}
	return err
}

// outcome is an error where what was to be lifted still bans, each ban having been named.
func (u *unbanner) outcome(invalid int) error {
	if u.left > 0 {
		return errSaid
	}
	return done("unbanned", u.done, invalid, 0)
}

// unban lifts everybody's reports, or the selected ones. An admin's unban is done or it fails: it is never put off.
func (p *process) unban(ctx context.Context, cfg *config, o unbanOptions) error {
	u := &unbanner{p: p, o: o}
	defer func() {
		if u.st != nil {
			u.st.Close()
		}
	}()
	invalid, err := p.eachBatch(ctx, o.prefixes, func(inputs []input) (err error) {
		if u.st == nil {
			if u.st, err = p.openStore(ctx, cfg); err != nil {
				return err
			}
		}
		return u.batch(ctx, inputs)
	})
	if err == nil && u.st != nil {
		if u.selectedBans > 0 {
			p.out.say("lifted %s%s", human.Count(u.selectedBans, "ban", "bans"), u.scope())
		}
		if err = u.readBack(ctx); err != nil {
			return fmt.Errorf("unbanned, but what is left could not be read: %w", err)
		}
	}
	if err != nil && u.done > 0 {
		return fmt.Errorf("%w; %s unbanned before that, the same call may be repeated", err, human.Count(u.done, "prefix was", "prefixes were"))
	}
	if err == nil {
		err = u.outcome(invalid)
	}
	return err
}

// manyPrefixes is where reading the whole list once becomes cheaper than a question for each prefix.
const manyPrefixes = 100

type unbanner struct {
	p      *process
	o      unbanOptions
	st     *store.Store
	lifted []netip.Prefix // to be read back
	done   int

	selectedBans int // lifted of one source or reason
	others       int // bans left that were not to be lifted

	left int // reports that were to be lifted and still ban
}

func (u *unbanner) facts(inputs []input) []store.Fact {
	facts := make([]store.Fact, len(inputs))
	for i, in := range inputs {
		facts[i] = store.Fact{Lift: true, Prefix: in.Prefix, Source: u.o.source, Reason: u.o.reason}
		u.lifted = append(u.lifted, in.Prefix)
	}
	return facts
}

func (u *unbanner) batch(ctx context.Context, inputs []input) error {
	if err := u.nameUnbanned(ctx, inputs); err != nil {
		return err
	}
	facts := u.facts(inputs)
	if err := u.st.Stamp(ctx, facts, time.Time{}); err != nil {
		return err
	}
	selected, err := u.count(ctx, inputs)
	if err != nil {
		return err
	}
	if err := u.st.Write(ctx, facts); err != nil {
		return err
	}
	u.selectedBans += selected
	u.st.NoteTaken(facts)
	u.done += len(facts)
	return nil
}

func (u *unbanner) scope() string {
	switch {
	case u.o.source != "" && u.o.reason != "":
		return fmt.Sprintf(" by %s (%s)", u.o.source, u.o.reason)
	case u.o.source != "":
		return " by " + u.o.source
	case u.o.reason != "":
		return fmt.Sprintf(" for %s", u.o.reason)
	}
	return ""
}

// selected reports whether the lift of prefix is about r.
func (u *unbanner) selected(prefix netip.Prefix, r store.Report) bool {
	return r.Prefix.Bits() >= prefix.Bits() &&
		(u.o.source == "" || u.o.source == r.Source) && (u.o.reason == "" || u.o.reason == r.Reason)
}
