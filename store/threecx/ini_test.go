package threecx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestReadINI(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       settings
		missing    string // words of the error
	}{
		{name: "as public scripts read it", text: "[General]\r\nAppPath = /var/lib/3cxpbx\r\n[CfgServerProfile]\r\nDBHost = 127.0.0.1\r\n" +
			"DBName = database_single\r\nDBPort = 5433\r\nMasterDBUser = phonesystem\r\nMasterDBPassword = p'w=1;\\2\r\n[Other]\r\nDBPort = 1\r\n",
			want: settings{"127.0.0.1", "5433", "phonesystem", `p'w=1;\2`, "database_single"}},
		{name: "other case, quotes, defaults, no last newline", text: "\ufeffmasterdbuser=\"u\"\nMASTERDBPASSWORD=\" p \"",
			want: settings{"127.0.0.1", "5432", "u", " p ", "database_single"}},
		{name: "the role's name and password are of one kind", text: "MasterDBUser=m\nDBUser=u\nDBPassword=p\n",
			want: settings{"127.0.0.1", "5432", "u", "p", "database_single"}},
		{name: "section of the read-only role", text: "[ConfService]\nconfUSER=admin\nUSERNAME=no\nPASSWORD=no\n" +
			"[CallReports]\nUSERNAME=logsreader\nDATABASE=phonesystem\nPORT=5480\nSERVER=localhost\nPASSWORD=p\n",
			want: settings{"localhost", "5480", "logsreader", "p", "phonesystem"}},
		{name: "comments", text: ";MasterDBUser=a\n#MasterDBUser=b\nMasterDBUser=c\nMasterDBPassword=p\n",
			want: settings{"127.0.0.1", "5432", "c", "p", "database_single"}},
		{name: "no password", text: "MasterDBUser=m\n", missing: "no MasterDBPassword in it"},
		{name: "other services only", text: "[ConfService]\nUser=x\nPassword=y\n", missing: "no MasterDBUser and no MasterDBPassword in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "3CXPhoneSystem.ini")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readINI(path)
			if test.missing != "" {
				if err == nil || !strings.Contains(err.Error(), test.missing) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want %q and the path", err, test.missing)
				}
				return
			}
			if err != nil || got != test.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, test.want)
			}
			cfg, err := pgx.ParseConfig(got.dsn())
			if err != nil {
				t.Fatal(err)
			}
			if cfg.User != got.user || cfg.Password != got.password || cfg.Database != got.database || cfg.Host != got.host {
				t.Errorf("as a DSN it reads %q %q %q %q", cfg.Host, cfg.User, cfg.Password, cfg.Database)
			}
		})
	}
}

func TestConnConfig(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGDATABASE", "PGSSLMODE", "PGSERVICE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	for _, test := range []struct {
		dsn              string
		verified, plain  bool // some attempt verifies; some attempt is not encrypted
		host, db, server string
	}{
		{dsn: "", host: "/", db: "database_single", plain: true},
		{dsn: "postgres://u@127.0.0.1/x", host: "127.0.0.1", db: "x", plain: true},
		{dsn: "postgres://u@pbx.example", host: "pbx.example", db: "database_single", verified: true},
		{dsn: "host=pbx.example user=u", host: "pbx.example", db: "database_single", verified: true},
		{dsn: "postgres://u@pbx.example?sslmode=disable", host: "pbx.example", db: "database_single", plain: true},
		{dsn: "postgres://u@pbx.example?sslmode=require", host: "pbx.example", db: "database_single"},
	} {
		cfg, err := connConfig(Options{DSN: test.dsn})
		if err != nil {
			t.Fatal(err)
		}
		plain := cfg.TLSConfig == nil
		for _, f := range cfg.Fallbacks {
			plain = plain || f.TLSConfig == nil
		}
		verified := cfg.TLSConfig != nil && !cfg.TLSConfig.InsecureSkipVerify && cfg.TLSConfig.ServerName == cfg.Host
		if !strings.HasPrefix(cfg.Host, test.host) || cfg.Database != test.db || plain != test.plain || verified != test.verified {
			t.Errorf("%q: host %s, database %s, plain %v, verified %v, want %+v", test.dsn, cfg.Host, cfg.Database, plain, verified, test)
		}
	}
	for _, opts := range []Options{
		{DSN: "postgres://u:s3cret@127.0.0.1:99999999/x"},
		{DSN: "postgres://u:s3cret%zz@127.0.0.1/x"},
		{DSN: "host=127.0.0.1 password=s3cret sslmode=perhaps"},
		{DSN: "s3cret"},
		{DSN: "postgres://u:s3cret@127.0.0.1/x", INI: "/nonexistent"},
		{INI: "/nonexistent"},
	} {
		_, err := connConfig(opts)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: error %v", opts, err)
		}
	}
}
