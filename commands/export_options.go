package commands

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
	"f2bc/commands/publish"
)

// defaultCollateral is 0.1 % of the IPv4 space.
const defaultCollateral = (1 << 32) / 1000

type exportOptions struct {
	list           publish.List   // how it is written, without what is in it
	target         publish.Target // no path: standard output
	from           string         // empty: the store
	allow          string         // a file, empty for none
	source, reason string         // empty means any
	since          string
	minSources     int
	widen6         int    // 0 widens nothing
	maxEntries     int    // 0: any number
	maxCollateral  uint64 // IPv4 addresses and IPv6 /64s together
}

func exportFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Value: "plain", Usage: "`FORMAT` of the list, see above"},
		&cli.StringFlag{Name: "output", Usage: "write `FILE` instead of standard output"},
		&cli.StringFlag{Name: "from",
			Usage: "aggregate the addresses and CIDRs of `FILE` (- is standard input) instead of the bans; no " +
				"never-ban rules, no configuration"},
		&cli.StringFlag{Name: "allow", Usage: "carve the addresses and CIDRs of `FILE` out of the list"},
		&cli.BoolFlag{Name: "ipv4", Usage: "only IPv4"},
		&cli.BoolFlag{Name: "ipv6", Usage: "only IPv6"},
		&cli.StringFlag{Name: "source", Usage: "only what `SERVER` reports"},
		&cli.StringFlag{Name: "reason", Usage: "only what is reported for the reason `NAME`"},
		&cli.StringFlag{Name: "since", Usage: "only reports since `TIME`: 15m, 24h, 7d ago, or 2026-01-01T00:00:00Z"},
		&cli.IntFlag{Name: "min-sources", Usage: "only what at least `N` servers report"},
		&cli.IntFlag{Name: "ipv6-prefix",
			Usage: "widen IPv6 bans to /`BITS`, 48 to 127: 64 is the subnet whose owner can choose addresses"},
		&cli.IntFlag{Name: "max-entries",
			Usage: "at most `N` prefixes, with the fewest extra addresses that are possible, no allow among them"},
		&cli.Uint64Flag{Name: "max-collateral", Value: defaultCollateral,
			Usage: "refuse to write when --max-entries takes more than `A` extra IPv4 addresses and IPv6 /64s"},
		&cli.IntFlag{Name: "split", Usage: "at most `N` prefixes a file: name.txt, name-2.txt, …"},
		&cli.StringFlag{Name: "placeholder",
			Usage: "`ADDRESS` to write into a file that would have none, for pfSense's URL alias, which keeps " +
				"its old content otherwise"},
		&cli.StringFlag{Name: "reload",
			Usage: "run `COMMAND` in a shell after a change of the file; if it fails, again at the next export"},
	}
}

func exportDescription() string {
	text := "The fewest prefixes that cover exactly what is banned, single addresses bare, after a comment line.\n" +
		"A file is written whole or not at all; after an error the old one stands, and one that would not\n" +
		"change is left alone.\n\nFormats:\n"
	for _, f := range exportFormats {
		text += fmt.Sprintf("   %-12s %s\n", f.Name, f.Help)
	}
	return strings.TrimRight(text, "\n")
}

// parseExport takes the flags, and refuses those that make no sense together.
func parseExport(c *cli.Context) (o exportOptions, err error) {
	i := slices.IndexFunc(exportFormats, func(f publish.Format) bool { return f.Name == c.String("format") })
	if i < 0 {
		var names []string
		for _, f := range exportFormats {
			names = append(names, f.Name)
		}
		return o, usagef("--format %q: want one of %s", c.String("format"), strings.Join(names, ", "))
	}
	o = exportOptions{
		list: publish.List{Format: exportFormats[i], OnlyIPv4: c.Bool("ipv4"), OnlyIPv6: c.Bool("ipv6")},
		target: publish.Target{
			Path: c.String("output"), Split: c.Int("split"), Reload: c.String("reload"), Env: childEnv(),
		},
		from: c.String("from"), allow: c.String("allow"),
		source: cleanName(c.String("source"), ""), reason: cleanName(c.String("reason"), ""), since: c.String("since"),
		minSources: c.Int("min-sources"), widen6: c.Int("ipv6-prefix"),
		maxEntries: c.Int("max-entries"), maxCollateral: c.Uint64("max-collateral"),
	}
	if err := exportRanges(c); err != nil {
		return o, err
	}
	if err := exportSuits(c, o.list.Format); err != nil {
		return o, err
	}
	if err := exportTogether(c); err != nil {
		return o, err
	}
	if o.since != "" {
		if _, err := parseSince(o.since, 0); err != nil {
			return o, err
		}
	}
	if text := c.String("placeholder"); text != "" {
		o.list.Placeholder, err = aggregate.ParsePrefix(text)
		if err != nil || !o.list.Placeholder.IsSingleIP() {
			return o, usagef("--placeholder %q: want an address that is nobody's, such as 192.0.2.1", text)
		}
	}
	return o, noArguments(c)
}

// exportRanges checks each flag by itself. An empty text comes from a variable that a script did not set.
func exportRanges(c *cli.Context) error {
	for _, name := range []string{"output", "from", "allow", "source", "reason", "since", "placeholder", "reload"} {
		if c.IsSet(name) && strings.TrimSpace(c.String(name)) == "" {
			return usagef("--%s %q: it is empty", name, c.String(name))
		}
	}
	for _, f := range []struct {
		name     string
		min, max int
	}{
		{"split", 1, math.MaxInt}, {"max-entries", 1, math.MaxInt}, {"min-sources", 1, math.MaxInt},
		{"ipv6-prefix", 48, 127},
	} {
		if n := c.Int(f.name); c.IsSet(f.name) && (n < f.min || n > f.max) {
			if f.max == math.MaxInt {
				return usagef("--%s %d: want %d or more", f.name, n, f.min)
			}
			return usagef("--%s %d: want %d to %d", f.name, n, f.min, f.max)
		}
	}
	return nil
}

// exportSuits refuses flags that make no sense with the format.
func exportSuits(c *cli.Context, f publish.Format) error {
	var flags []string
	if f.Whole {
		flags = append(flags, "split")
	}
	if f.Name != "plain" {
		flags = append(flags, "placeholder")
	}
	if showsBans(f) {
		flags = append(flags, "from", "max-entries", "ipv6-prefix")
	}
	for _, flag := range flags {
		if c.IsSet(flag) {
			return usagef("--%s makes no sense with --format %s", flag, f.Name)
		}
	}
	return nil
}

// exportTogether refuses a flag that another one leaves without effect.
func exportTogether(c *cli.Context) error {
	for _, pair := range [][2]string{{"split", "output"}, {"reload", "output"}, {"max-collateral", "max-entries"}} {
		if c.IsSet(pair[0]) && !c.IsSet(pair[1]) {
			return usagef("--%s needs --%s", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"ipv4", "ipv6"}, {"ipv4", "ipv6-prefix"},
		{"from", "source"}, {"from", "reason"}, {"from", "since"}, {"from", "min-sources"},
		{"from", "config"}, {"from", "dsn"},
	} {
		if _, given := globalFlag(c, pair[1]); given && c.IsSet(pair[0]) {
			return usagef("--%s and --%s exclude each other", pair[0], pair[1])
		}
	}
	return nil
}
