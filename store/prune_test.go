package store

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// manyRows runs an INSERT … SELECT of n rows numbered seq, in the words of either engine.
func manyRows(t testing.TB, s *Store, n int, insert string) {
	t.Helper()
	from := fmt.Sprintf(" FROM seq_1_to_%d", n)
	if s.dsn.Path != "" {
		insert = fmt.Sprintf("WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < %d)", n) +
			strings.ReplaceAll(insert, "LPAD(HEX(16777216 + seq), 8, '0')", "printf('%08X', 16777216 + seq)")
		from = " FROM n"
	}
	_, err := s.db.Exec(insert + from)
	check(t, err)
}

// TestPruneMany: however many rows one microsecond holds, no statement deletes more than a step of them.
func TestPruneMany(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		now, err := s.Now(t.Context())
		check(t, err)
		old := int64(now.Add(-200 * 24 * time.Hour))
		const addr = "UNHEX(LPAD(HEX(16777216 + seq), 8, '0'))"
		const events = "INSERT INTO event (addr, len, at, source, reason, expires, forced, who)\n" +
			"SELECT " + addr + ", 32, %s, 'web1', 'sshd', 0, 0, 'root'"
		const reports = "INSERT INTO report (addr, len, source, reason, at, expires, longest, lifted)\n" +
			"SELECT " + addr + ", 32, '%s', 'sshd', %d, %d, %s, %s"
		manyRows(t, s, 150_000, fmt.Sprintf(events, fmt.Sprint(old)))
		manyRows(t, s, 12_000, fmt.Sprintf(events, "-seq"))
		manyRows(t, s, 7, fmt.Sprintf(events, fmt.Sprint(int64(now)))) // stays
		// One time, in which most of the first rows stay.
		const liftedOften = "CASE WHEN seq % 3 = 0 OR seq > 20000 THEN 0 ELSE 5 END"
		manyRows(t, s, 30_000, fmt.Sprintf(reports, "web1", old-1, old, fmt.Sprint(old), liftedOften))
		permanentOften := fmt.Sprintf("CASE WHEN seq %% 2 = 0 THEN 9223372036854775807 ELSE %d END", old+1)
		manyRows(t, s, 6_000, fmt.Sprintf(reports, "web2", old-1, old+1, permanentOften, "0"))
		time.Sleep(2 * time.Millisecond)                                                  // SQLite's marks have milliseconds
		manyRows(t, s, 1, fmt.Sprintf(reports, "web3", old-1, old, fmt.Sprint(old), "0")) // the newest row
		_, err = s.db.Exec("INSERT INTO event (addr, len, at, source, reason, expires, forced, who)" +
			" VALUES ('x', 32, -9223372036854775808, '', '', 0, 0, '')")
		check(t, err)

		r := &recorder{}
		if s.dsn.Path != "" {
			r = record(t, s)
		}
		p, err := s.Prune(t.Context())
		check(t, err)
		if r.most > int64(pruneStep) {
			t.Errorf("one statement deletes %d rows", r.most)
		}
		if want := (Pruned{Events: 162_001, Reports: 16_666 + 3_000}); p != want {
			t.Errorf("%+v, want %+v", p, want)
		}
		var leftEvents, leftReports, newest int
		check(t, s.db.QueryRow("SELECT COUNT(*) FROM event").Scan(&leftEvents))
		check(t, s.db.QueryRow("SELECT COUNT(*), SUM(source = 'web3') FROM report").Scan(&leftReports, &newest))
		if leftEvents != 7 || leftReports != 13_334+3_000+1 || newest != 1 {
			t.Errorf("%d events and %d reports are left, %d of the newest row", leftEvents, leftReports, newest)
		}
		if p, err = s.Prune(t.Context()); err != nil || p != (Pruned{}) {
			t.Error("pruned again:", p, err)
		}
	})
}

// TestPruneStep: the rules hold where every few rows are a step.
func TestPruneStep(t *testing.T) {
	was := pruneStep
	pruneStep = 3
	t.Cleanup(func() { pruneStep = was })
	TestPrune(t)
}
