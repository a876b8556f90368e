package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"f2bc/store/mariadbtest"
)

// TestProvenance: with the account of web1 any client may send any SQL: nothing changes but what is web1's own, and of
// that nothing goes back. A second server asks the DNS who connects.
func TestProvenance(t *testing.T) {
	onServers(t, "", func(t *testing.T, s *siege) {
		all := slices.Concat(calls(), callsOfSessions(), refused())
		for i, statements := range all {
			if (s.resolves || testing.Short()) && i%5 != 0 {
				continue
			}
			err := s.try(t, statements, grows)
			if strings.Contains(statements, "-- refused") && err == nil {
				t.Error("not refused:", statements)
			}
		}
		t.Log(s.count, "statements")
	})
}

// onServers runs a test on a fleet of two servers where the database resolves no names, and where it does.
func onServers(t *testing.T, grants string, test func(t *testing.T, s *siege)) {
	t.Run("addresses", func(t *testing.T) { test(t, newSiege(t, besieged(t, mariadbtest.Shared(t), grants))) })
	t.Run("names", func(t *testing.T) {
		s := newSiege(t, besieged(t, resolving(t), grants))
		s.resolves = true
		test(t, s)
	})
}

func besieged(t *testing.T, server *mariadbtest.Server, grants string) *fleet {
	t.Helper()
	zones(t, server)
	return newFleetOn(t, server, grants, "web1", "web2")
}

// resolving starts a server that has names for those who connect, as MariaDB does unless it is told not to.
func resolving(t *testing.T) *mariadbtest.Server {
	t.Helper()
	server := mariadbtest.New(t)
	server.Args = []string{"--skip-name-resolve=OFF", "--innodb-flush-log-at-trx-commit=0"}
	check(t, server.Start())
	server.Exec(t,
		"DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES") // who has no name comes before who has one
	return server
}

// zones gives the server time zones in which a change of the clocks is near.
func zones(t *testing.T, server *mariadbtest.Server) {
	t.Helper()
	for i, z := range []struct {
		name          string
		before, after int // offsets in hours
		ago           int // seconds since the change
	}{
		{"Fold/Ago", 2, 1, 600}, {"Fold/Soon", 2, 1, -600}, {"Fold/Two", 2, 0, 4000}, {"Fold/TwoSoon", 2, 0, -5000},
		{"Gap/Ago", 1, 2, 600}, {"Gap/Hours", 1, 2, 6000}, {"Gap/Soon", 1, 2, -600},
	} {
		id := 100 + i
		server.Exec(t, fmt.Sprintf(`USE mysql;
REPLACE INTO time_zone VALUES (%[1]d, 'N');
REPLACE INTO time_zone_name VALUES ('%[2]s', %[1]d);
REPLACE INTO time_zone_transition_type VALUES (%[1]d, 0, %[3]d, 0, 'A'), (%[1]d, 1, %[4]d, 1, 'B');
DELETE FROM time_zone_transition WHERE Time_zone_id = %[1]d;
INSERT INTO time_zone_transition VALUES (%[1]d, UNIX_TIMESTAMP() - 8640000, 0), (%[1]d, UNIX_TIMESTAMP() - %[5]d, 1)`,
			id, z.name, z.before*3600, z.after*3600, z.ago))
	}
}

// A parameter of a procedure, with one value that makes sense and those that try something.
type parameter struct {
	name, good string
	tries      []string
}

const µsNow = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

// times are tried for every time and duration.
var times = []string{"NULL", "-9223372036854775808", "-1", "0", "1", µsNow, µsNow + " - 1000000", µsNow +
	" + 59999999", µsNow + " + 60000000",
	µsNow + " + 61000000", µsNow + " + 31536000000000", "9223372036854775806", "9223372036854775807",
	"9223372036854775808", "'x'", "1.5e300"}

var lengths = []string{"NULL", "-9223372036854775808", "-1", "0", "1", "8", "24", "31", "33", "64", "127", "128",
	"129", "255", "256", "2147483647", "2147483648",
	"'32'", "'x'", "31.9"}

var addresses = []string{"NULL", "''", "0", "-1", "X'00'", "X'CB0071'", "X'CB007107'", "X'CB007101'", "X'CB007102'",
	"X'CB007109'", "X'CB007106'", "X'CB007100'", "X'CB00710700'",
	"X'20010DB8000000000000000000000001'", "X'20010DB8000000000000000000000000'",
	"X'00000000000000000000FFFFCB007106'", "X'0000000000000000000000000000000000'",
	"'203.0.113.6'", "INET6_ATON('203.0.113.6')", "INET6_ATON('::ffff:203.0.113.6')", "REPEAT('a', 300)"}

var names = []string{"NULL", "''", "'web2'", "'WEB1'", "'wéb1'", "'web1 '", "'web1\\0'", "'SSHD'", "'admin'",
	"'later'", "X'00'", "X'FFFE'", "REPEAT('x', 64)", "REPEAT('x', 65)",
	"REPEAT('é', 33)", "5", "_utf16'x'"}

var factParameters = []parameter{
	{"f_addr", "X'CB007107'", addresses},
	{"f_len", "32", lengths},
	{"f_reason", "'sshd'", names},
	{"is_lift", "0", []string{"NULL", "-1", "1", "2", "127", "128", "256", "'x'", "0.5", "TRUE"}},
	{"bantime", "60000000", append([]string{"-2"}, times...)},
	{"happened", "0", times},
	{"caller", "0", times},
	{"kept", "0", times},
	{"names", "NULL", []string{"'[]'", "''", "'x'", "'[\"a\"]'", "'{'", "REPEAT('[', 100)", "'[1e999]'", "'null'"}},
}

var hostParameters = []parameter{
	{"its_version", "'1'", names},
	{"its_wanted", "1", lengths},
	{"its_installed", "1", lengths},
	{"its_mode", "'enforce'", names},
	{"its_error", "''", append([]string{"REPEAT('x', 255)", "REPEAT('x', 256)"}, names...)},
}

// vary returns the calls in which one parameter is tried.
func vary(procedure string, parameters []parameter, base map[string]string) (calls []string) {
	for i, p := range parameters {
		for _, value := range p.tries {
			args := make([]string, len(parameters))
			for j, q := range parameters {
				args[j] = q.good
				if other, ok := base[q.name]; ok {
					args[j] = other
				}
			}
			args[i] = value
			calls = append(calls, "CALL "+procedure+"("+strings.Join(args, ", ")+")")
		}
	}
	return calls
}

// calls are the calls of all procedures with everything that may be said to them.
func calls() []string {
	all := slices.Concat(
		vary("write_fact", factParameters, nil),
		vary("write_fact", factParameters, map[string]string{"f_addr": "X'CB007101'", "is_lift": "1"}),
		vary("write_fact", factParameters, map[string]string{"f_addr": "X'CB007100'", "f_len": "24", "f_reason": "''",
			"is_lift": "1", "happened": µsNow}),
		vary("write_host", hostParameters, nil),
	)
	// Several at once, drawn.
	r := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		args := make([]string, len(factParameters))
		for i, p := range factParameters {
			args[i] = pick(r, p.good, p.good, p.tries[r.IntN(len(p.tries))])
		}
		all = append(all, "CALL write_fact("+strings.Join(args, ", ")+")")
	}
	return append(all, callsOfMany()...)
}

// callsOfMany are calls of write_facts: a fact that makes no sense, in any of its parts, alone and among others.
func callsOfMany() (calls []string) {
	const at = "1700000000000000"
	good := []string{`"cb007107"`, "32", `"73736864"`, at, "-1", "0"}
	numbers := []string{"null", "-9223372036854775808", "-1", "0", "1", "2", "32.9", "33", "128", "256",
		"9223372036854775807", "9223372036854775808", "1e30", `"x"`, `"1"`,
		"true", "[]", "{}"}
	tries := [][]string{
		{"null", `""`, `"cb0071"`, `"cb00710"`, `"cb007106"`, `"CB007101"`, `"cb007100"`, `"cb00710700"`,
			`"zz007107"`, `"20010db8000000000000000000000001"`,
			`"00000000000000000000ffffcb007106"`, `"000000000000000000000000000000000000"`, "5", `["cb007107"]`,
			`"\\u0000"`},
		numbers,
		{"null", `""`, `"7"`, `"zz"`, `"61646d696e"`, `"6c61746572"`, `"00"`, `"` + strings.Repeat("78", 64) + `"`,
			`"` + strings.Repeat("78", 65) + `"`, "5"},
		append([]string{"{now+59}", "{now+60}", "{now+61}", "{now+31536000}"}, numbers...), append([]string{"-2"},
			numbers...), numbers,
	}
	for i, values := range tries {
		for n, value := range values {
			fact := slices.Clone(good)
			fact[i] = value
			text := "[" + strings.Join(fact, ",") + "]"
			other := "[" + strings.Join(good, ",") + "]"
			text = []string{text, other + "," + text, text + "," + other, text + "," + text}[n%4]
			for lift := range 2 {
				facts := strings.ReplaceAll(text, at+",-1,0", at+",-1,"+fmt.Sprint(lift))
				for _, seconds := range []string{"59", "60", "61", "31536000"} {
					facts = strings.ReplaceAll(facts, "{now+"+seconds+"}", "', "+µsNow+" + "+seconds+"000000, '")
				}
				calls = append(calls, "CALL write_facts(CONCAT('["+facts+"]'))")
			}
		}
	}
	for _, text := range []string{"NULL", "''", "'x'", "'['", "'[]'", "'{}'", "'[[]]'", "'[[[]]]'", "5", "'null'",
		`'[["cb007107"]]'`, `'[{"source":"web2"}]'`,
		`'[["cb007107",32,"73736864",5,-1,0,"web2",1]]'`, `'[["cb007107",32,"73736864",5,-1,0],x'`, "REPEAT('[', 1000)",
		`CONCAT('[["cb007107",32,"73736864",5,-1,0]', REPEAT(',["cb007107",32,"73736864",6,-1,1]', 500), ']')`} {
		calls = append(calls, "CALL write_facts("+text+")")
	}
	return calls
}
