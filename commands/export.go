package commands

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
	"f2bc/store"
)

// An exportFormat writes a list in the way one kind of device reads it.
type exportFormat struct {
	name  string
	write func(w io.Writer, list *aggregate.Set) error
}

var exportFormats = []exportFormat{
	{"plain", writePlain},
}

type exportOptions struct {
	format exportFormat
	output string // empty: standard output
}

func (p *process) exportCommand() *cli.Command {
	var names []string
	for _, f := range exportFormats {
		names = append(names, f.name)
	}
	return &cli.Command{
		Name:  "export",
		Usage: "write the list for firewalls: aggregated, without what must never be banned",
		Description: `The fewest prefixes that cover exactly what is banned, single addresses bare, after a comment line.
A file is written whole or not at all; after an error the old one stands.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "plain", Usage: "`FORMAT` of the list: " + strings.Join(names, ", ")},
			&cli.StringFlag{Name: "output", Usage: "write `FILE` instead of standard output"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o := exportOptions{output: c.String("output")}
			i := slices.Index(names, c.String("format"))
			if i < 0 {
				return usagef("--format %q: want one of %s", c.String("format"), strings.Join(names, ", "))
			}
			o.format = exportFormats[i]
			if c.IsSet("output") && o.output == "" {
				return usagef("--output \"\": names no file")
			}
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			return p.export(c.Context, cfg, o)
		},
	}
}

func (p *process) export(ctx context.Context, cfg *config, o exportOptions) error {
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := p.desired(ctx, cfg, st, store.Filter{}, nil)
	if err != nil {
		return err
	}
	if o.output == "" {
		return o.format.write(p.out.stdout, list)
	}
	// Readable by all, since a web server serves it.
	if err := replaceFile(o.output, 0o644, func(f *os.File) error { return o.format.write(f, list) }); err != nil {
		return fmt.Errorf("write %s, the old file stands: %w", o.output, err)
	}
	return nil
}

// writePlain is what pfSense, OPNsense and HAProxy read. The header has no time stamp, so that an unchanged list is an
// unchanged file; there always is one, because pfSense takes an empty file for a failed download.
func writePlain(w io.Writer, list *aggregate.Set) error {
	if _, err := fmt.Fprintf(w, "# f2bc: %s\n", counted(list.Len(), "prefix", "prefixes")); err != nil {
		return err
	}
	return list.WriteText(w, "", "\n")
}
