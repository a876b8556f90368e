package commands

import (
	"os"
	"path/filepath"
)

// place is where a run finds its files, which depends on who runs it.
type place struct {
	root       bool
	etc        string // /etc
	configHome string // ~/.config, empty if there is no home
	stateHome  string // ~/.local/state, empty if there is no home
	varLib     string // /var/lib
}

// here is a variable for tests, which must not read the machine's own configuration.
var here = func() place {
	p := place{root: os.Geteuid() == 0, etc: "/etc", varLib: "/var/lib"}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		home = ""
	}
	p.configHome = xdg("XDG_CONFIG_HOME", home, ".config")
	p.stateHome = xdg("XDG_STATE_HOME", home, ".local/state")
	return p
}

// xdg follows the XDG base directory specification: a relative path in the variable is ignored.
func xdg(variable, home, otherwise string) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, otherwise)
}

// configFiles are the configuration files that count when none is named; the first that exists is used, alone.
func (p place) configFiles() []string {
	files := []string{filepath.Join(p.etc, "f2bc/f2bc.toml")}
	if !p.root && p.configHome != "" {
		files = append([]string{filepath.Join(p.configHome, "f2bc/f2bc.toml")}, files...)
	}
	return files
}

// stateDir is the state directory when none is configured; empty if there is no place for one.
func (p place) stateDir() string {
	switch {
	case p.root:
		return filepath.Join(p.varLib, "f2bc")
	case p.stateHome != "":
		return filepath.Join(p.stateHome, "f2bc")
	}
	return ""
}
