package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

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

// installation is what a file that calls f2bc must name.
type installation struct {
	cfg     *config
	program string // this one
	config  string // the absolute path of the configuration file
}

// plainWord reports whether a word needs no quotes in a shell or a unit file.
func plainWord(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") == ""
}

// installation finds out what file, such as "a cron line", must name.
func (p *process) installation(c *cli.Context, file string) (in installation, err error) {
	if err := noArguments(c); err != nil {
		return in, err
	}
	if in.cfg, err = p.configure(c); err != nil {
		return in, err
	}
	if _, given := globalFlag(c, "dsn"); given {
		return in, usagef("--dsn does not belong into %s: a password could be read there; write it into a configuration file", file)
	}
	if in.program, err = os.Executable(); err != nil {
		return in, fmt.Errorf("find the program itself: %w", err)
	}
	if in.cfg.path != "" {
		in.config, err = filepath.Abs(in.cfg.path)
		return in, err
	}
	// It is named all the same: a server that was never configured must fail loudly, not keep its bans to itself.
	in.config = p.place.configFiles()[0]
	p.out.say("there is no configuration yet: write dsn = \"mysql://…\" into %s, or dsn = %q to keep bans to this host", in.config,
		embeddedDSN(in.cfg.StateDir))
	return in, nil
}
