package commands

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/store"
)

// What is printed is SQL, the rest stands in comments: so it may be fed to the client again for every new server. The passwords
// are made up for each print: without TLS a listener gets a hash, at which he can guess as long as he likes.
const mysqlSetup = `-- Printed by f2bc setup mysql for server {source} and the database server {host}: MariaDB 10.6, MySQL 8, or later.
-- The statements may be repeated. Each print has new passwords, but an account that exists keeps its own.

-- 1. As root of the database server: the database and its owner, who makes the tables and prunes. Keep this account:
-- the procedures through which the servers write run with its rights.
{database}
-- 2. With a configuration file of that account (dsn = "mysql://f2bc_owner@{host}/{db}"), on any machine:
--	f2bc --config OWNER.toml init

-- 3. For each server its own account, named like its source: the database lets it report and lift under this name only,
-- nothing dated ahead, nothing forced. For a server with a fixed address write that in place of %: then its password is
-- of no use elsewhere. For another server: f2bc setup mysql --source NAME
{server}
-- In /etc/f2bc/f2bc.toml of that server (with a password_file, mode 0600):
--	dsn    = "mysql://{user}@{host}/{db}"
--	source = "{source}"
-- An account that an older f2bc set up has rights on views, with which a thief could take an unban back: f2bc status names it.
-- Once f2bc is upgraded on that server, run the GRANT above and these:
{revoke}
-- 4. For people: one account each, by which history names them. The admin may write everything but delete nothing, the
-- reader may write nothing.
{people}
-- 5. Settings: on Debian in /etc/mysql/mariadb.conf.d/60-f2bc.cnf, then: systemctl restart mariadb
--	[mysqld]
--	bind-address      = *         # leave it out where all servers come through ssh
--	skip_name_resolve = ON        # the address of a server is seen as such, and no ban waits for DNS
--	max_connections   = 500       # at least the number of servers and 50 more
--	ssl_cert          = /etc/mysql/f2bc-cert.pem
--	ssl_key           = /etc/mysql/f2bc-key.pem
-- The binary log, if there is one, must not be of the format STATEMENT.

-- 6. A certificate, which Debian's MariaDB comes without; the last command prints what the servers then pin:
--	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7300 \
--	  -subj /CN={host} -keyout /etc/mysql/f2bc-key.pem -out /etc/mysql/f2bc-cert.pem
--	chown mysql /etc/mysql/f2bc-key.pem
--	openssl x509 -in /etc/mysql/f2bc-cert.pem -outform DER | sha256sum
-- In f2bc.toml of each server:
--	dsn    = "mysql://{user}@{host}/{db}?tls=sha256:WHAT-IT-PRINTED"

-- 7. Or through ssh, which needs neither a certificate nor an open port: as root of {host}
--	useradd --system --create-home --shell /usr/sbin/nologin f2bc
-- and in its ~/.ssh/authorized_keys a line for each server, with the key of the server's root:
--	restrict,port-forwarding,permitopen="127.0.0.1:3306",command="/usr/sbin/nologin" ssh-ed25519 AAAA… {source}
-- In f2bc.toml of each server:
--	ssh    = "f2bc@{host}"
--	dsn    = "mysql://{user}@127.0.0.1/{db}"
`

// longestMySQLAccount is the longest account name that MySQL takes, in characters; MariaDB takes 80.
const longestMySQLAccount = 32

func (p *process) setupMySQLCommand() *cli.Command {
	var source string
	return &cli.Command{
		Name:  "mysql",
		Usage: "print what an admin runs on the database server, as SQL with comments",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "source", Destination: &source, Usage: "make the account of `SERVER`", DefaultText: "this host"},
		}, globalFlags()...),
		Action: p.configured(noArguments, func(_ context.Context, cfg *config) error {
			return p.setupMySQL(cfg, cleanName(source, cfg.Source))
		}),
	}
}

func (p *process) setupMySQL(cfg *config, source string) error {
	host, database := "db.example", "f2bc"
	dsn := cfg.store
	if dsn.Database != "" {
		database = dsn.Database
	}
	if len(dsn.Hosts) > 0 {
		name, _, _ := net.SplitHostPort(dsn.Hosts[0])
		if a, err := netip.ParseAddr(name); name != "localhost" && (err != nil || !a.IsLoopback()) {
			host = name
		}
	}
	accounts, err := store.NewAccounts(database, source)
	if err != nil {
		return invalidf("%w", err)
	}
	if len([]rune(source)) > longestMySQLAccount {
		p.out.say("source %s has more than %d characters: MariaDB takes such an account name, MySQL does not", source, longestMySQLAccount)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	text := strings.NewReplacer(
		"{source}", source, "{user}", url.User(source).String(), "{host}", host, "{db}", database,
		"{database}", accounts.Database, "{server}", accounts.Server, "{people}", accounts.People,
		"{revoke}", regexp.MustCompile("(?m)^(.)").ReplaceAllString(accounts.Revoke, "--\t$1"),
	).Replace(mysqlSetup)
	text = store.PasswordPlace.ReplaceAllStringFunc(text, func(string) string { return "'" + rand.Text() + "'" })
	_, err = io.WriteString(p.out.stdout, text)
	return err
}
