package commands

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// A blackhole route drops what this host sends to a banned address. These rules drop what comes from one too, and
// never change: nothing in them is a list.
//
//   - fib saddr type blackhole works for IPv6 only.
//   - For IPv4 the lookup fails at a blackhole, but so it does where there is no route at all: for one-way traffic on a
//     host without a default route, and for guests on a bridge. So packets are looked up with a mark whose rule, asked after
//     f2bc's, has a route for everything. The mark is taken away again.
//   - A packet that has a mark already keeps it, and is looked up with it.
//   - nft 1.0.6 wants one rule a line.
const nftablesRules = `# Printed by f2bc setup nftables; save it as /etc/f2bc/f2bc.nft. With it a ban also stops packets that need no answer,
# such as SIP over UDP. It never changes. Load it at boot, by /etc/systemd/system/f2bc-nftables.service:
#
#	[Unit]
#	Description=drop what comes from addresses that f2bc has banned
#	After=nftables.service
#	PartOf=nftables.service
#
#	[Service]
#	Type=oneshot
#	RemainAfterExit=yes
#	ExecStart=-ip rule add pref 6687 fwmark 0x6686 lookup 6687
#	ExecStart=ip route replace default dev lo table 6687
#	ExecStart=nft -f /etc/f2bc/f2bc.nft
#	ExecStop=nft delete table inet f2bc
#
#	[Install]
#	WantedBy=multi-user.target nftables.service
#
# and run: systemctl enable --now f2bc-nftables; nft list table inet f2bc counts what was dropped.

table inet f2bc
delete table inet f2bc
table inet f2bc {
	chain input {
		type filter hook prerouting priority raw; policy accept;
		iif lo accept
		meta nfproto ipv6 fib saddr type blackhole counter drop
		meta nfproto ipv6 accept
		meta mark 0 meta mark set 0x6686
		fib saddr . mark oif missing counter drop
		meta mark 0x6686 meta mark set 0
	}
}
`

func (p *process) setupNftablesCommand() *cli.Command {
	return &cli.Command{
		Name:  "nftables",
		Usage: "print nftables rules that stop what needs no answer, such as SIP, for /etc/f2bc/f2bc.nft",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, err := fmt.Fprint(p.out.stdout, nftablesRules)
			return err
		},
	}
}
