package commands

import (
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/commands/neverban"
	"f2bc/store"
	"f2bc/store/state"
)

// configFile is a configuration file: global settings only, never a filter of one command. Every key has a variable
// of the same name: F2BC_DSN, F2BC_PASSWORD_FILE …
type configFile struct {
	DSN          string   `toml:"dsn"`
	Password     string   `toml:"password"`
	PasswordFile string   `toml:"password_file"`
	SSH          string   `toml:"ssh"`
	Source       string   `toml:"source"`
	Allow        []string `toml:"allow"`
	AllowFiles   []string `toml:"allow_files"`
	AllowPrivate bool     `toml:"allow_private"`
	StateDir     string   `toml:"state_dir"`

	// What sync-routes does, and where in the kernel. Zero is the default.
	Mode        string  `toml:"mode"`         // enforce (the default) or observe
	MaxRoutes   int     `toml:"max_routes"`   // default 250,000
	MaxCoverage float64 `toml:"max_coverage"` // percent of all IPv4 addresses, default 1
	IPv6Prefix  int     `toml:"ipv6_prefix"`  // 19 to 128: banned IPv6 hosts are widened to their subnet of this length
	Table       uint32  `toml:"table"`
	Pref        uint32  `toml:"pref"`
	Protocol    uint8   `toml:"protocol"`
}

// config is the configuration of one run: the file, overridden by variables, overridden by flags.
type config struct {
	configFile
	path  string           // the file it was read from, empty if there is none
	store store.DSN        // what DSN says
	allow []neverban.Entry // what Allow says
	state state.Dir        // at StateDir

	stateErr error // why the state directory is refused
}

// globalFlags are the flags of f2bc itself and of every command that opens a store.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "read `FILE` instead of /etc/f2bc/f2bc.toml (variable F2BC_CONFIG)"},
		&cli.StringFlag{Name: "dsn", Usage: "the store, as `URL` mysql://user@host/database or sqlite:///path (variable F2BC_DSN)"},
	}
}

// globalFlag returns a flag that may stand before the command or after it, and whether it was given.
func globalFlag(c *cli.Context, name string) (string, bool) {
	for _, level := range c.Lineage() {
		if level.IsSet(name) {
			return level.String(name), true
		}
	}
	return "", false
}

// configure finds and reads the configuration. A state directory that is refused ends every command but those that send
// facts: the store may take them.
func (p *process) configure(c *cli.Context) (*config, error) {
	cfg, err := p.configuration(c)
	if err == nil {
		err = cfg.stateErr
	}
	return cfg, err
}

func (p *process) configuration(c *cli.Context) (*config, error) {
	path, named := globalFlag(c, "config")
	if named && path == "" {
		return nil, usagef("--config \"\": names no file")
	}
	if !named {
		path, named = variable("CONFIG")
	}
	cfg, err := p.findConfig(path, named)
	if err != nil {
		return nil, err
	}
	if err := cfg.override(variable); err != nil {
		return nil, err
	}
	if dsn, ok := globalFlag(c, "dsn"); ok {
		if dsn == "" {
			return nil, usagef("--dsn \"\": names no store")
		}
		cfg.setDSN(dsn)
	}
	if err := cfg.complete(p.place); err != nil {
		return nil, err
	}
	return cfg, nil
}

// variable returns the F2BC_ variable of that name; an empty one counts as unset.
func variable(name string) (string, bool) {
	value := os.Getenv("F2BC_" + name)
	return value, value != ""
}

// childEnv is the environment of the programs that f2bc starts: none of its own variables, which may hold a password.
func childEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "F2BC_") })
}
