package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/commands/import3cx"
	"f2bc/commands/neverban"
	"f2bc/store"
	"f2bc/store/threecx"
)

// threecxReason is why an address that the phone system has blacklisted is banned.
const threecxReason = "3CX-banned"

// threecxINI is where 3CX on Linux keeps how it connects to its own database.
const threecxINI = "/var/lib/3cxpbx/Bin/3CXPhoneSystem.ini"

func import3CXFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "threecx-dsn", DefaultText: "the local socket",
			Usage: "PostgreSQL of the phone system, as `DSN` postgres://USER@HOST/database_single"},
		&cli.StringFlag{Name: "threecx-ini", Usage: "take that from `FILE` " + threecxINI},
		&cli.StringFlag{Name: "since", Value: "15m",
			Usage: "read at least so far back, a `TIME` such as 15m, 24h, 30d"},
		&cli.BoolFlag{Name: "dry-run", Usage: "print the reports and write nothing"},
		&cli.StringFlag{Name: "events", Value: "12290,12292",
			Usage: "the event `IDS` that say that an address was blacklisted"},
		&cli.StringFlag{Name: "query", Usage: "read events with `SQL` that returns (id, time, text)"},
		&cli.BoolFlag{Name: "show-schema", Usage: "print the tables that were found, for a bug report"},
		&cli.StringFlag{Name: "from", Value: "events",
			Usage: "`WHAT` to read: events, or blacklist without the entries of 3CX's maker"},
		&cli.BoolFlag{Name: "keep-reason", DefaultText: threecxReason, Usage: "report the phone system's own reason"},
		&cli.StringFlag{Name: "bantime", Value: "-1",
			Usage: "`TIME` in seconds, or 24h, 30d, where the phone system says none; -1 is permanent"},
		&cli.StringFlag{Name: "timezone", DefaultText: "the server's",
			Usage: "of times without one, a `NAME` such as Europe/Berlin"},
		&cli.StringFlag{Name: "source", Usage: "the `SERVER` that reports", DefaultText: "this host"},
	}, globalFlags()...)
}

func (p *process) import3CXCommand() *cli.Command {
	return &cli.Command{
		Name:  "import-3cx",
		Usage: "report what a 3CX phone system has blacklisted",
		Description: `Run it on the phone system, from cron every minute, as its system user phonesystem, with
--threecx-ini as root, or with a read-only role. What was read before changes nothing, and an unban
stays one. It reads from --since back, or from the last run that succeeded if that is longer ago.
What the phone system itself allows, and what must never be banned, is not reported; that is no
failure, and said once a day. What --threecx-dsn leaves out, such as the password, comes from
~/.pgpass and PostgreSQL's variables (PGHOST, PGPASSWORD …).`,
		Flags: import3CXFlags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o, err := parseImport(c)
			if err != nil {
				return err
			}
			if c.Bool("show-schema") {
				return p.showSchema(c.Context, o.Options)
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if o.Source == "" {
				o.Source = cfg.Source
			}
			if c.Bool("dry-run") {
				o.DryRun = func(line string) error {
					_, err := fmt.Fprintln(p.out.stdout, printable(line))
					return err
				}
			}
			return p.import3CX(c.Context, cfg, o)
		},
	}
}

func parseImport(c *cli.Context) (o import3cx.Options, err error) {
	o = import3cx.Options{
		Options: threecx.Options{
			DSN:      c.String("threecx-dsn"),
			INI:      c.String("threecx-ini"),
			Query:    c.String("query"),
			Timezone: c.String("timezone"),
		},
		Source: cleanName(c.String("source"), ""),
		Reason: func(string) string { return threecxReason },
	}
	if c.Bool("keep-reason") {
		o.Reason = func(own string) string { return cleanName(own, threecxReason) }
	}
	if o.DSN != "" && o.INI != "" {
		return o, usagef("give one of --threecx-dsn and --threecx-ini")
	}
	switch from := c.String("from"); {
	case from != "events" && from != "blacklist":
		return o, usagef("--from %q: want events or blacklist", from)
	case from == "blacklist" && (o.Query != "" || c.IsSet("events") || c.IsSet("since")):
		return o, usagef("--query, --events and --since are about events, and --from blacklist reads none")
	case o.Query != "" && c.IsSet("events"):
		return o, usagef("give one of --query and --events: the query itself says which events it wants")
	default:
		o.Blacklist = from == "blacklist"
	}
	var ok bool
	if o.Window, ok = parseSpan(c.String("since")); !ok {
		return o, usagef("--since %q: want a time back such as 15m, 24h, 7d", c.String("since"))
	}
	for _, text := range strings.Split(c.String("events"), ",") {
		id, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return o, usagef("--events %q: want ids such as 12290,12292", c.String("events"))
		}
		o.Events = append(o.Events, id)
	}
	o.Bantime, err = parseBantime(c.String("bantime"))
	return o, err
}

// showSchema needs neither a configuration nor a store.
func (p *process) showSchema(ctx context.Context, o threecx.Options) error {
	db, err := threecx.Open(ctx, o)
	if err != nil {
		return threecxHint(err)
	}
	defer db.Close()
	text, err := db.Schema(ctx)
	if err != nil {
		return threecxHint(err)
	}
	_, err = fmt.Fprint(p.out.stdout, text)
	return err
}

func (p *process) import3CX(ctx context.Context, cfg *config, o import3cx.Options) error {
	target, err := o.Target()
	if err != nil && o.INI == "" {
		return invalidf("%w", err)
	}
	name := import3cx.Name(o, target, cfg.store)
	remembered := name
	if o.DryRun != nil {
		remembered = "" // everything is said
	}
	words := p.said(cfg, remembered)
	if err != nil {
		return p.end(words, err)
	}
	im := import3cx.Import{
		Options:  o,
		Name:     name,
		State:    cfg.state,
		Open:     func(ctx context.Context) (*store.Store, error) { return p.openStore(ctx, cfg) },
		NeverBan: func(ctx context.Context, st *store.Store) (*neverban.List, error) { return p.neverBan(ctx, cfg, st) },
		Say:      func(format string, args ...any) { p.out.sayOnce(words.Once, fmt.Sprintf(format, args...)) },
	}
	if p.out.terminal {
		im.Summary = p.out.say
	}
	return p.end(words, threecxHint(im.Run(ctx)))
}

// threecxHint adds the flag that cures an error of the phone system's database.
func threecxHint(err error) error {
	hint := ""
	switch {
	case errors.Is(err, threecx.ErrLogin):
		hint = "; or let --threecx-ini " + threecxINI + " name role and password"
	case errors.Is(err, threecx.ErrAway), errors.Is(err, threecx.ErrDatabase):
		hint = "; --threecx-dsn or --threecx-ini says where the phone system's database is"
	case errors.Is(err, threecx.ErrTable):
		hint = "; --threecx-dsn names another database, --query reads another table"
	case errors.Is(err, threecx.ErrColumns):
		hint = "; --query reads them all the same, --show-schema prints what is there"
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w%s", err, hint)
}
