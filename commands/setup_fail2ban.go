package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// The action is built on how fail2ban 0.11 to 1.1 work:
//
//   - a command that fails is run a second time and never again, so "refused" (3) must not count as failing;
//   - stopping fail2ban calls actionunban for every ticket unless there is an actionflush, and would withdraw
//     everything this host ever reported;
//   - norestored spares it a call for every ticket that it restores at start;
//   - an actioncheck that fails leads to a repair and to all bans once more, so there is none;
//   - <ip> may be any text in jails that ban something else, and fail2ban guards against all but blanks and a leading
//     dash: hence the quotes and the --;
//   - timeout works in [Init] only.
const fail2banAction = `# Printed by f2bc setup fail2ban; save it as /etc/fail2ban/action.d/f2bc.conf and add it to a jail's actions:
#
#	[DEFAULT]
#	action = %(action_)s
#	         f2bc
#
# then check with: fail2ban-client -t, and run: fail2ban-client reload --restart (a plain reload drops a new action)

[Definition]
actionstart =
actionstop =
actioncheck =
# Defined, so that a restart of fail2ban withdraws nothing: the store knows when a ban ends.
actionflush = true
norestored = 1

actionban = COMMAND ban --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>" || [ $? -eq 3 ]
actionprolong = COMMAND ban --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>" || [ $? -eq 3 ]
actionunban = COMMAND unban --own --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>"

[Init]
f2bc = PROGRAM
CONFIG# More flags of f2bc itself.
f2bc_args =
timeout = 30
`

func (p *process) setupFail2banCommand() *cli.Command {
	return &cli.Command{
		Name:  "fail2ban",
		Usage: "print fail2ban's action, for /etc/fail2ban/action.d/f2bc.conf",
		Flags: globalFlags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if _, given := globalFlag(c, "dsn"); given {
				return usagef("--dsn does not belong into fail2ban's action: a password could be read there; write it into a configuration file")
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the program itself: %w", err)
			}
			return p.setupFail2ban(cfg, program)
		},
	}
}

func (p *process) setupFail2ban(cfg *config, program string) error {
	command, configLine := `"<f2bc>" <f2bc_args>`, ""
	if cfg.path == "" {
		p.out.say("there is no configuration file, so the action names none and fail2ban's bans go to the store on this host alone; for a central one write dsn = \"mysql://…\" into %s first", p.place.configFiles()[0])
	} else {
		path, err := filepath.Abs(cfg.path)
		if err != nil {
			return err
		}
		command = `"<f2bc>" --config "<f2bc_config>" <f2bc_args>`
		configLine = "f2bc_config = " + iniValue(path) + "\n"
	}
	text := strings.NewReplacer("COMMAND", command, "PROGRAM", iniValue(program), "CONFIG", configLine).Replace(fail2banAction)
	_, err := fmt.Fprint(p.out.stdout, text)
	return err
}

// iniValue escapes what fail2ban's reader would interpolate.
func iniValue(s string) string { return strings.ReplaceAll(s, "%", "%%") }
