package commands

import (
	"fmt"
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
//     dash: hence the quotes and the --; a lone dash is f2bc's standard input, and fail2ban's own may never end, while
//     its lock is held: hence /dev/null;
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

actionban = "<f2bc>" --config "<f2bc_config>" <f2bc_args> ban --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>" </dev/null || [ $? -eq 3 ]
actionprolong = "<f2bc>" --config "<f2bc_config>" <f2bc_args> ban --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>" </dev/null || [ $? -eq 3 ]
actionunban = "<f2bc>" --config "<f2bc_config>" <f2bc_args> unban --own --reason "<name>" --at "<time>" --bantime <bantime> -- "<ip>" </dev/null

[Init]
f2bc = PROGRAM
f2bc_config = CONFIG
# More flags of f2bc itself.
f2bc_args =
timeout = 30
`

func (p *process) setupFail2banCommand() *cli.Command {
	return &cli.Command{
		Name:  "fail2ban",
		Usage: "print fail2ban's action, for /etc/fail2ban/action.d/f2bc.conf",
		Flags: globalFlags(),
		Action: func(c *cli.Context) error {
			in, err := p.installation(c, "fail2ban's action")
			if err != nil {
				return err
			}
			return p.setupFail2ban(in)
		},
	}
}

func (p *process) setupFail2ban(in installation) error {
	text := strings.NewReplacer("PROGRAM", iniValue(in.program), "CONFIG", iniValue(in.config)).Replace(fail2banAction)
	_, err := fmt.Fprint(p.out.stdout, text)
	return err
}

// iniValue escapes what fail2ban's reader would interpolate.
func iniValue(s string) string { return strings.ReplaceAll(s, "%", "%%") }
