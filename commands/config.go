package commands

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
	"github.com/urfave/cli/v2"

	"f2bc/commands/neverban"
	"f2bc/routes"
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
	path  string    // the file it was read from, empty if there is none
	state state.Dir // at StateDir
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

// configure finds and reads the configuration.
func (p *process) configure(c *cli.Context) (*config, error) {
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

func (p *process) findConfig(path string, named bool) (*config, error) {
	if named {
		return readConfig(path)
	}
	for _, path := range p.place.configFiles() {
		cfg, err := readConfig(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case errors.Is(err, fs.ErrPermission):
			// Going on with the next file or the embedded store would silently be another store.
			return nil, fmt.Errorf("%w; run f2bc as a user who may read it, or write your own %s", err, p.place.configFiles()[0])
		}
		return cfg, err
	}
	return &config{}, nil
}

// readConfig reads and checks the configuration file at path.
func readConfig(path string) (*config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg := &config{path: path}
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&cfg.configFile); err != nil {
		return nil, describeTOML(path, err)
	}
	if cfg.holdsPassword() {
		if err := checkSecret(path, info); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// describeTOML gives the place of a mistake, but never the line itself, which may hold a password.
func describeTOML(path string, err error) error {
	if strict := (*toml.StrictMissingError)(nil); errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, column := first.Position()
		return invalidf("%s:%d:%d: unknown key %q; known keys are %s", path, row, column,
			strings.Join(first.Key(), "."), strings.Join(knownKeys, ", "))
	}
	if decode := (*toml.DecodeError)(nil); errors.As(err, &decode) {
		row, column := decode.Position()
		if want := wantedType(decode.Key()); want != "" {
			return invalidf("%s:%d:%d: key %s: want %s", path, row, column, decode.Key()[0], want)
		}
		return invalidf("%s:%d:%d: %s", path, row, column, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return invalidf("%s: %w", path, err)
}

var knownKeys = func() (keys []string) {
	for field := range reflect.TypeFor[configFile]().Fields() {
		keys = append(keys, field.Tag.Get("toml"))
	}
	return keys
}()

// wantedType says what a key takes, or nothing if that is not what is wrong.
func wantedType(key toml.Key) string {
	for field := range reflect.TypeFor[configFile]().Fields() {
		if len(key) == 0 || field.Tag.Get("toml") != key[0] {
			continue
		}
		switch field.Type.Kind() {
		case reflect.Bool:
			return "true or false"
		case reflect.Int, reflect.Uint8, reflect.Uint32, reflect.Float64:
			return "a number"
		case reflect.Slice:
			return "a list of texts, such as [\"192.0.2.0/24\"]"
		default:
			return "a text in quotes"
		}
	}
	return ""
}

func (c *config) holdsPassword() bool {
	dsn, _ := store.ParseDSN(c.DSN) // one that does not parse may hold a password as well
	return c.Password != "" || dsn.Password != "" || store.HidePasswords(c.DSN) != c.DSN
}

// checkSecret refuses a file with a password that others may read or write.
func checkSecret(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		return invalidf("%s holds a password and others can read it (mode %04o); run chmod 0600 %s, or 0640 for a group",
			path, info.Mode().Perm(), path)
	}
	return nil
}

// setDSN replaces the store. A password in it replaces those that belong to the one before; an embedded store is not
// reached through ssh.
func (c *config) setDSN(text string) {
	c.DSN = text
	dsn, err := store.ParseDSN(text)
	if err != nil {
		return
	}
	if dsn.Password != "" {
		c.Password, c.PasswordFile = "", ""
	}
	if dsn.Path != "" {
		c.SSH = ""
	}
}

// override applies the variables that lookup finds.
func (c *config) override(lookup func(string) (string, bool)) error {
	if v, ok := lookup("DSN"); ok {
		c.setDSN(v)
	}
	if v, ok := lookup("PASSWORD_FILE"); ok {
		c.PasswordFile, c.Password = v, ""
	}
	if v, ok := lookup("PASSWORD"); ok {
		c.Password, c.PasswordFile = v, ""
	}
	for name, field := range map[string]*string{"SSH": &c.SSH, "SOURCE": &c.Source, "STATE_DIR": &c.StateDir, "MODE": &c.Mode} {
		if v, ok := lookup(name); ok {
			*field = v
		}
	}
	for name, field := range map[string]*[]string{"ALLOW": &c.Allow, "ALLOW_FILES": &c.AllowFiles} {
		if v, ok := lookup(name); ok {
			*field = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	if v, ok := lookup("ALLOW_PRIVATE"); ok {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return invalidf("variable F2BC_ALLOW_PRIVATE: %q is neither true nor false", v)
		}
		c.AllowPrivate = on
	}
	for name, field := range map[string]any{"MAX_ROUTES": &c.MaxRoutes, "MAX_COVERAGE": &c.MaxCoverage, "IPV6_PREFIX": &c.IPv6Prefix,
		"TABLE": &c.Table, "PREF": &c.Pref, "PROTOCOL": &c.Protocol} {
		v, ok := lookup(name)
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(v), field); err != nil { // a number within the range of the field
			return invalidf("variable F2BC_%s: %q is no such number", name, v)
		}
	}
	return nil
}

// complete checks the settings and fills in the defaults of those that have one.
func (c *config) complete(at place) error {
	if c.DSN == "" && c.path == "" {
		// Only where nothing is configured: a configured server must never silently keep its bans to itself.
		if c.StateDir == "" && at.stateDir() == "" {
			return invalidf("no store: there is neither a configuration file nor a home directory; set F2BC_DSN or F2BC_STATE_DIR")
		}
	}
	if c.StateDir == "" {
		c.StateDir = at.stateDir()
	}
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		return c.wrongf("state_dir %q: want an absolute path", c.StateDir)
	}
	c.state = state.Dir(c.StateDir)
	if c.DSN == "" && c.path == "" {
		c.DSN = "sqlite://" + filepath.Join(c.StateDir, "f2bc.db")
	}
	if c.DSN != "" {
		if _, err := store.ParseDSN(c.DSN); err != nil {
			return c.wrongf("%w", err)
		}
	}
	if c.PasswordFile != "" {
		info, err := os.Stat(c.PasswordFile)
		if err != nil {
			return fmt.Errorf("password_file: %w", err)
		}
		if err := checkSecret(c.PasswordFile, info); err != nil {
			return err
		}
	}
	for _, entry := range c.Allow {
		if _, err := neverban.ParseEntry(entry); err != nil {
			return c.wrongf("allow: %w", err)
		}
	}
	if err := c.checkRoutes(); err != nil {
		return err
	}
	return c.completeSource()
}

// checkRoutes checks the settings of sync-routes, and fills in their defaults.
func (c *config) checkRoutes() error {
	c.Mode = cmp.Or(c.Mode, "enforce")
	c.MaxRoutes = cmp.Or(c.MaxRoutes, 250_000)
	c.MaxCoverage = cmp.Or(c.MaxCoverage, 1)
	switch {
	case c.Mode != "enforce" && c.Mode != "observe":
		return c.wrongf("mode %q: want enforce or observe", c.Mode)
	case c.MaxRoutes < 0:
		return c.wrongf("max_routes %d: want a number above 0", c.MaxRoutes)
	case !(c.MaxCoverage > 0 && c.MaxCoverage <= 100):
		return c.wrongf("max_coverage %v: want a percentage above 0, at most 100", c.MaxCoverage)
	case c.IPv6Prefix != 0 && (c.IPv6Prefix < neverban.Widest6 || c.IPv6Prefix > 128):
		return c.wrongf("ipv6_prefix %d: want %d to 128", c.IPv6Prefix, neverban.Widest6)
	}
	if err := c.routesSettings().Validate(); err != nil {
		return c.wrongf("%w", err)
	}
	return nil
}

func (c *config) routesSettings() routes.Settings {
	return routes.Settings{Table: c.Table, Pref: c.Pref, Protocol: c.Protocol}
}

func (c *config) completeSource() error {
	if c.Source == "" {
		name, err := os.Hostname()
		if err != nil || cleanName(name, "") == "" {
			return c.wrongf("this host has no name; set source")
		}
		c.Source = name
	}
	if clean := cleanName(c.Source, ""); clean == "" {
		return c.wrongf("source %q: nothing printable in it", c.Source)
	}
	c.Source = cleanName(c.Source, "")
	return nil
}

// wrongf says which file a wrong setting stands in, if it may have come from one.
func (c *config) wrongf(format string, args ...any) error {
	if c.path != "" {
		return invalidf("configuration "+strings.ReplaceAll(c.path, "%", "%%")+": "+format, args...)
	}
	return invalidf(format, args...)
}
