package commands

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *process) setupCronCommand() *cli.Command {
	return &cli.Command{
		Name:  "cron",
		Usage: "print this host's cron lines, for /etc/cron.d/f2bc",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "3cx", Usage: "this host is a 3CX phone system"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if _, given := globalFlag(c, "dsn"); given {
				return usagef("--dsn does not belong into a cron line: a password could be read there; write it into a configuration file")
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the program itself: %w", err)
			}
			return p.setupCron(cfg, program, c.Bool("3cx"))
		},
	}
}

func (p *process) setupCron(cfg *config, program string, threecx bool) error {
	command := cronWord(program)
	if cfg.path == "" {
		p.out.say("there is no configuration file, so the lines name none and follow the store on this host alone")
	} else {
		path, err := filepath.Abs(cfg.path)
		if err != nil {
			return err
		}
		command += " --config " + cronWord(path)
	}
	second := hostSecond(cfg.Source)
	text := "# Printed by f2bc setup cron for " + printable(cfg.Source) + "; save it as /etc/cron.d/f2bc.\n" +
		"# The second is this host's own: not all hosts shall ask the store in the same one.\n" +
		"# ip route show table f2bc knows the table by name after:\n" +
		fmt.Sprintf("# mkdir -p /etc/iproute2/rt_tables.d && echo %d f2bc > /etc/iproute2/rt_tables.d/f2bc.conf\n", cfg.routesSettings().WithDefaults().Table) +
		fmt.Sprintf("* * * * * root sleep %d; %s sync-routes\n", second, command)
	if threecx {
		ini := ""
		if _, err := os.Stat(threecxINI); err == nil {
			ini = " --threecx-ini " + threecxINI
		} else {
			p.out.say("there is no %s on this host: add to import-3cx what root needs to connect, see f2bc import-3cx --help", threecxINI)
		}
		text += "# Half a minute after the line above, so that routes follow twice a minute, and also while 3CX's database is away.\n" +
			fmt.Sprintf("* * * * * root sleep %d; %s import-3cx%s && %[2]s sync-routes\n", (second+30)%60, command, ini)
	}
	_, err := fmt.Fprint(p.out.stdout, text)
	return err
}

// hostSecond spreads hosts over the minute: always the same second for one, whatever the others are.
func hostSecond(host string) int {
	h := fnv.New32a()
	h.Write([]byte(host))
	return int(h.Sum32() % 60)
}

// cronWord quotes a word for the shell of a cron line, in which a % is a line break unless escaped.
func cronWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") != "" {
		s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return strings.ReplaceAll(s, "%", `\%`)
}
