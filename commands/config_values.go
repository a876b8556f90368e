package commands

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
	"f2bc/store/state"
)

// setDSN replaces the store. A password in it replaces those that belong to the one before; an embedded store is not
// reached through ssh.
func (c *config) setDSN(text string) {
	c.DSN = text
	c.store, _ = store.ParseDSN(text) // complete says what is wrong with it
	if c.store.Password != "" {
		c.Password, c.PasswordFile = "", ""
	}
	if c.store.Path != "" {
		c.SSH = ""
	}
}

// override applies the variables that lookup finds: each key has one of its name.
func (c *config) override(lookup func(string) (string, bool)) error {
	if dsn, ok := lookup("DSN"); ok {
		c.setDSN(dsn)
	}
	if _, ok := lookup("PASSWORD_FILE"); ok {
		c.Password = ""
	}
	values := reflect.ValueOf(&c.configFile).Elem()
	for field := range values.Type().Fields() {
		name := strings.ToUpper(field.Tag.Get("toml"))
		value, ok := lookup(name)
		if !ok {
			continue
		}
		switch to := values.FieldByIndex(field.Index).Addr().Interface().(type) {
		case *string:
			*to = value
		case *[]string:
			*to = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case *bool:
			on, err := strconv.ParseBool(value)
			if err != nil {
				return invalidf("variable F2BC_%s: %q is neither true nor false", name, value)
			}
			*to = on
		default:
			if err := json.Unmarshal([]byte(value), to); err != nil { // a number within the range of the field
				return invalidf("variable F2BC_%s: %q is no such number", name, value)
			}
		}
	}
	if _, ok := lookup("PASSWORD"); ok {
		c.PasswordFile = ""
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
	c.state, c.stateErr = state.Open(c.StateDir)
	if c.DSN == "" && c.path == "" {
		c.DSN = embeddedDSN(c.StateDir)
	}
	var err error
	if c.DSN != "" {
		if c.store, err = store.ParseDSN(c.DSN); err != nil {
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
	if c.allow, err = neverban.ParseEntries(c.Allow, cmp.Or(c.path, "the configuration")); err != nil {
		return c.wrongf("allow: %w", err)
	}
	if err := c.checkRoutes(); err != nil {
		return err
	}
	return c.completeSource()
}

// embeddedDSN is the embedded store in a state directory.
func embeddedDSN(dir string) string { return "sqlite://" + filepath.Join(dir, "f2bc.db") }

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
