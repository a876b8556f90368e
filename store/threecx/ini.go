package threecx

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

// settings are those of a connection, as 3CX's own file has them.
type settings struct{ host, port, user, password, database string }

// readINI reads how 3CX itself connects from its 3CXPhoneSystem.ini.
//
// Of that file public scripts prove the keys DBName, DBPort (several times: the first counts), MasterDBUser and
// MasterDBPassword, and, for the read-only role of older systems, a section [CallReports] with SERVER, PORT, DATABASE,
// USERNAME and PASSWORD. The role's name is only taken together with the password of the same kind. Users and passwords
// of other sections belong to other services, so keys without DB in their name count in a section that has a database only.
func readINI(path string) (settings, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return settings{}, fmt.Errorf("read 3CX configuration: %w", err)
	}
	db, reports := parseINI(string(raw))
	for _, kind := range []string{"masterdb", "db"} {
		s := settings{
			host:     cmp.Or(db["masterdbhost"], db["dbhost"], db["dbserver"], db["dbservername"], "127.0.0.1"),
			port:     cmp.Or(db["dbport"], "5432"),
			user:     cmp.Or(db[kind+"user"], db[kind+"username"]),
			password: cmp.Or(db[kind+"password"], db[kind+"pass"]),
			database: cmp.Or(db["dbname"], db["dbdatabase"], defaultDatabase),
		}
		if s.user != "" && s.password != "" {
			return s, nil
		}
	}
	s := settings{
		host:     cmp.Or(reports["server"], reports["host"], "127.0.0.1"),
		port:     cmp.Or(reports["port"], "5432"),
		user:     cmp.Or(reports["username"], reports["user"], reports["uid"]),
		password: cmp.Or(reports["password"], reports["pwd"]),
		database: reports["database"],
	}
	if s.user != "" && s.password != "" {
		return s, nil
	}
	var missing []string
	if db["masterdbuser"] == "" {
		missing = append(missing, "MasterDBUser")
	}
	if db["masterdbpassword"] == "" {
		missing = append(missing, "MasterDBPassword")
	}
	return settings{}, fmt.Errorf("read 3CX configuration %q: no %s in it: name the database, role and password in a DSN instead",
		path, strings.Join(missing, " and no "))
}

// parseINI returns the keys with DB in their name, wherever they are, and all keys of the first section that has a key
// DATABASE. Keys are in lower case; the first of several counts.
func parseINI(text string) (db, reports map[string]string) {
	db, section := map[string]string{}, map[string]string{}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff") + "\n[") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if reports == nil && section["database"] != "" {
				reports = section
			}
			section = map[string]string{}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "#") {
			continue
		}
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if _, known := section[key]; !known {
			section[key] = value
		}
		if _, known := db[key]; !known && (strings.HasPrefix(key, "db") || strings.HasPrefix(key, "masterdb")) {
			db[key] = value
		}
	}
	return db, reports
}

// dsn returns libpq's key=value form.
func (s settings) dsn() string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, kv := range [][2]string{
		{"host", s.host}, {"port", s.port}, {"user", s.user}, {"password", s.password}, {"dbname", s.database},
	} {
		fmt.Fprintf(&b, "%s='%s' ", kv[0], quote.Replace(kv[1]))
	}
	return b.String()
}
