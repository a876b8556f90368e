package commands

import (
	"fmt"
	"hash/fnv"
	"os"
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
			in, err := p.installation(c, "a cron line")
			if err != nil {
				return err
			}
			return p.setupCron(in, c.Bool("3cx"))
		},
	}
}

func (p *process) setupCron(in installation, threecx bool) error {
	command := cronWord(in.program) + " --config " + cronWord(in.config)
	second := hostSecond(in.cfg.Source)
	text := "# Printed by f2bc setup cron for " + printable(in.cfg.Source) + "; save it as /etc/cron.d/f2bc.\n" +
		"# The second is this host's own: not all hosts shall ask the store in the same one.\n" +
		"# ip route show table f2bc knows the table by name after:\n" +
		fmt.Sprintf("# mkdir -p /etc/iproute2/rt_tables.d && echo %d f2bc > /etc/iproute2/rt_tables.d/f2bc.conf\n", in.cfg.routesSettings().WithDefaults().Table) +
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
	if !plainWord(s) {
		s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return strings.ReplaceAll(s, "%", `\%`)
}
