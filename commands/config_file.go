package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"

	"f2bc/store"
)

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
	cfg.store, _ = store.ParseDSN(cfg.DSN) // complete says what is wrong with it
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

// holdsPassword also suspects a DSN that does not parse.
func (c *config) holdsPassword() bool {
	return c.Password != "" || c.store.Password != "" || store.HidePasswords(c.DSN) != c.DSN
}

// checkSecret refuses a file with a password that others may read or write.
func checkSecret(path string, info fs.FileInfo) error {
	if err := store.CheckSecret(path, "a password", info); err != nil {
		return invalidf("%w", err)
	}
	return nil
}
