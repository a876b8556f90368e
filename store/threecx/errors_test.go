//go:build linux

package threecx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store/threecx/postgrestest"
)

func testErrors(t *testing.T, s *postgrestest.Server) {
	const password = "s3cret%2Fword"
	ctx := context.Background()
	database(t, s, "phone", postgrestest.Schemas[1].DDL+`CREATE ROLE reader LOGIN PASSWORD 's3cret/word'; CREATE SCHEMA hidden;
		REVOKE CONNECT ON DATABASE q FROM PUBLIC; ALTER DATABASE phone SET log_statement = 'none';
		CREATE TABLE hidden.blacklist (ipaddr text, blocktype int, expiresat timestamp, addedby int);`)
	check := func(name string, err, kind error, words ...string) {
		t.Helper()
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", name, err, kind)
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %T", name, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, e.Err, e.Err); strings.Contains(text, "s3cret") {
			t.Errorf("%s: password in %s", name, text)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: no %q in %v", name, word, err)
			}
		}
		t.Logf("%s: %v", name, err)
	}
	opening := func(dsn string) error {
		db, err := Open(ctx, Options{DSN: dsn})
		if err == nil {
			db.Close()
		}
		return err
	}
	events := func(db *DB) error { return db.Events(ctx, time.Time{}, func(Event) error { return nil }, nil) }

	check("wrong password", opening(s.URL("reader", "s3cret", "phone")), ErrLogin, "wrong password", `"reader"`)
	check("no such role", opening(s.DSN("nobody", "phone")), ErrLogin, `role "nobody" does not exist`)
	check("wrong database", opening(s.URL("reader", password, "fone")), ErrDatabase, `"fone"`, "database_single")
	check("may not connect", opening(s.URL("reader", password, "q")), ErrPrivilege, `GRANT CONNECT ON DATABASE "q" TO "reader"`)

	reader := open(t, Options{DSN: s.URL("reader", password, "phone")})
	check("may not read", events(reader), ErrPrivilege, `GRANT SELECT ON "public"."eventlog" TO "reader"`)
	_, err := reader.Allowed(ctx, nil)
	check("may not enter", err, ErrPrivilege, `GRANT USAGE ON SCHEMA "hidden" TO "reader"`, `GRANT SELECT ON "hidden"."blacklist" TO "reader"`)
	text, err := reader.Schema(ctx)
	if err != nil || !strings.Contains(text, "GRANT SELECT") || !strings.Contains(text, `"params" text[]`) || strings.Contains(text, "s3cret") {
		t.Errorf("schema without privilege: %v\n%s", err, text)
	}
	s.Exec(t, "phone", "GRANT SELECT ON eventlog TO reader")
	if err := events(reader); err != nil {
		t.Errorf("granted and no rows: %v", err)
	}
	s.Exec(t, "phone", "INSERT INTO eventlog VALUES (1, now(), 2, 12290, 'pbx', '{phone,60}')")
	check("no column with an address", events(reader), ErrColumns, `"computer", "params"`)

	slow := open(t, Options{DSN: s.DSN(postgrestest.Superuser, "phone"), StatementTimeout: 50 * time.Millisecond,
		Query: "SELECT 1, now(), pg_sleep(30)::text"})
	check("timeout", events(slow), ErrTimeout, "50ms")
	if _, err := slow.Clock(ctx); err != nil {
		t.Errorf("after a timeout: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := open(t, Options{DSN: s.DSN(postgrestest.Superuser, "phone")}).Clock(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	s.Exec(t, "phone", "ALTER TABLE eventlog RENAME timegenerated TO at")
	check("column missing", events(reader), ErrColumns, "no column timegenerated", `"public"."eventlog"`)
	s.Exec(t, "phone", "ALTER TABLE eventlog RENAME at TO timegenerated; ALTER TABLE eventlog ALTER timegenerated TYPE text")
	check("time is text", events(reader), ErrColumns, "not a timestamp")
	s.Exec(t, "phone", "DROP TABLE eventlog")
	check("no table", events(reader), ErrTable, "no table eventlog", `"phone"`)

	ini := filepath.Join(t.TempDir(), "3CXPhoneSystem.ini")
	os.WriteFile(ini, fmt.Appendf(nil, "DBPort = %d\nDBName = phone\nMasterDBUser = reader\nMasterDBPassword = s3cret/word\n", s.Port), 0o600)
	open(t, Options{INI: ini})

	s.Stop(t)
	check("stopped meanwhile", events(reader), ErrAway)
	check("away, port", opening(s.URL("reader", password, "phone")), ErrAway, "127.0.0.1", "refused")
	check("away, socket", opening(s.DSN("reader", "phone")), ErrAway, s.Dir)
	s.Restart(t)
	if err := opening(s.URL("reader", password, "phone")); err != nil {
		t.Errorf("back again: %v", err)
	}
}
