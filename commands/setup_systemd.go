package commands

import (
	"fmt"
	"os"
	"path/filepath"
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
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if _, given := globalFlag(c, "dsn"); given {
				return usagef("--dsn does not belong into a unit: a password could be read there; write it into a configuration file")
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the program itself: %w", err)
			}
			return p.setupSystemd(cfg, program)
		},
	}
}

func (p *process) setupSystemd(cfg *config, program string) error {
	command, extra := systemdWord(program), ""
	if cfg.path == "" {
		p.out.say("there is no configuration file, so the unit names none and follows the store on this host alone")
	} else {
		path, err := filepath.Abs(cfg.path)
		if err != nil {
			return err
		}
		command += " --config " + systemdWord(path)
	}
	if cfg.StateDir != "" && cfg.StateDir != "/var/lib/f2bc" {
		extra = "ReadWritePaths=" + systemdWord(cfg.StateDir) + "\n"
	}
	text := strings.NewReplacer("COMMAND", command, "EXTRA", extra, "TABLE", fmt.Sprint(cfg.routesSettings().WithDefaults().Table)).Replace(systemdUnit)
	_, err := fmt.Fprint(p.out.stdout, text)
	return err
}

// systemdWord quotes a word for a unit file, in which % and $ are expanded.
func systemdWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") == "" {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
}
