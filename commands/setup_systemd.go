package commands

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// What the unit takes away is what sync-routes does not need. It reads who is logged in from /run and asks ssh for the
// way to the hub, so /run and /home stay readable; CAP_NET_ADMIN is for routes, rules and what WireGuard and IPsec tell.
const systemdUnit = `# Printed by f2bc setup systemd; save it as /etc/systemd/system/f2bc-sync-routes.service
# and run: systemctl enable --now f2bc-sync-routes; it takes the place of the cron line.
# ip route show table f2bc knows the table by name after:
# mkdir -p /etc/iproute2/rt_tables.d && echo TABLE f2bc > /etc/iproute2/rt_tables.d/f2bc.conf

[Unit]
Description=blackhole routes for addresses that f2bc has banned
Wants=network-online.target
After=network-online.target mariadb.service mysql.service
StartLimitIntervalSec=0

[Service]
ExecStart=COMMAND sync-routes --watch
Restart=always
RestartSec=5s
StateDirectory=f2bc
StateDirectoryMode=0700
EXTRACapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
`

func (p *process) setupSystemdCommand() *cli.Command {
	return &cli.Command{
		Name:  "systemd",
		Usage: "print the unit that runs sync-routes --watch, for /etc/systemd/system/f2bc-sync-routes.service",
		Flags: globalFlags(),
		Action: func(c *cli.Context) error {
			in, err := p.installation(c, "a unit")
			if err != nil {
				return err
			}
			return p.setupSystemd(in)
		},
	}
}

func (p *process) setupSystemd(in installation) error {
	command, extra := systemdWord(in.program)+" --config "+systemdWord(in.config), ""
	if in.cfg.StateDir != "" && in.cfg.StateDir != "/var/lib/f2bc" {
		extra = "ReadWritePaths=" + systemdWord(in.cfg.StateDir) + "\n"
	}
	text := strings.NewReplacer("COMMAND", command, "EXTRA", extra, "TABLE", fmt.Sprint(in.cfg.routesSettings().WithDefaults().Table)).Replace(systemdUnit)
	_, err := fmt.Fprint(p.out.stdout, text)
	return err
}

// systemdWord quotes a word for a unit file, in which % and $ are expanded.
func systemdWord(s string) string {
	if plainWord(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
}
