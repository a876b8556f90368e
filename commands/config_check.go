package commands

import (
	_ "embed" // the example
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

//go:embed config_example.toml
var configExample string

func (p *process) configCommand() *cli.Command {
	return &cli.Command{
		Name:   "config",
		Usage:  "check a configuration file, or print an example",
		Action: p.noCommand,
		Subcommands: []*cli.Command{{
			Name:        "check",
			Usage:       "say whether FILE is a valid configuration, without effects",
			ArgsUsage:   "FILE",
			Description: "Opens no store and changes nothing. Variables and flags are left out of account.",
			Action: func(c *cli.Context) error {
				if c.NArg() != 1 {
					return usagef("want one file; see %s --help", commandName(c))
				}
				return p.checkConfig(c, c.Args().First())
			},
		}, {
			Name:  "example",
			Usage: "print a configuration file with all keys and their defaults",
			Action: func(c *cli.Context) error {
				if err := noArguments(c); err != nil {
					return err
				}
				_, err := io.WriteString(p.out.stdout, configExample)
				return err
			},
		}},
	}
}

func (p *process) checkConfig(c *cli.Context, path string) error {
	cfg, err := readConfig(path)
	if err != nil {
		return err
	}
	if err := cfg.complete(p.place); err != nil {
		return err
	}
	if cfg.stateErr != nil {
		return cfg.stateErr
	}
	if _, err := p.storeOptions(cfg); err != nil {
		return err
	}
	if _, err := p.neverSource(cfg).Own(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out.stdout, "%s: valid\n", path)
	return err
}
