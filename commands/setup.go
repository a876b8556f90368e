package commands

import (
	"github.com/urfave/cli/v2"
)

func (p *process) setupCommand() *cli.Command {
	return &cli.Command{
		Name:   "setup",
		Usage:  "print what an admin installs, filled in for this host",
		Action: p.noCommand,
		Subcommands: []*cli.Command{
			p.setupFail2banCommand(),
			p.setupMySQLCommand(),
			p.setupCronCommand(),
			p.setupSystemdCommand(),
			p.setupNftablesCommand(),
		},
	}
}
