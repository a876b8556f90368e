package bench

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

// FillReports puts rows into the report table of an empty store, a sixth of which are permanent; the others have ended,
// some of them were lifted. They come in the order of their addresses, which fills fast, and were reported in another.
func FillReports(b *testing.B, db *sql.DB, sqlite bool, rows int) {
	b.Helper()
	const step = 200_000
	for from := 0; from < rows; from += step {
		columns := `
INSERT INTO report (source, reason, len, addr, at, expires, longest, lifted)
SELECT %s, %s, 32, UNHEX(%s), 1700000000000000 + seq * 7919 %% 6000011,
       CASE WHEN seq %% 6 = 0 THEN 9223372036854775807 ELSE 1700000600000000 + seq END, 9223372036854775807,
       CASE WHEN seq %% 6 > 4 THEN 1800000000000000 ELSE 0 END
FROM %s`
		query := fmt.Sprintf(columns, "CONCAT('web', seq % 100)", "'sshd'", "LPAD(HEX(16777216 + seq * 503), 8, '0')",
			fmt.Sprintf("seq_%d_to_%d", from, from+step-1))
		if sqlite {
			query = fmt.Sprintf("WITH RECURSIVE n(seq) AS (SELECT %d UNION ALL SELECT seq + 1 FROM n WHERE seq < %d)", from, from+step-1) +
				fmt.Sprintf(columns, "CAST('web' || (seq % 100) AS BLOB)", "CAST('sshd' AS BLOB)", "printf('%08X', 16777216 + seq * 503)", "n")
		}
		if _, err := db.Exec(query); err != nil {
			b.Fatal(err)
		}
	}
	if !sqlite {
		if _, err := db.Exec("ANALYZE TABLE report"); err != nil {
			b.Fatal(err)
		}
	}
}

// BareInsert inserts address and length of 1,000,000 prefixes, 2,000 a statement, the least that any writer must do.
func BareInsert(b *testing.B, db *sql.DB) func() time.Duration {
	return Timed(b, func() error {
		if _, err := db.Exec("DROP TABLE IF EXISTS bare"); err != nil {
			return err
		}
		if _, err := db.Exec("CREATE TABLE bare (addr VARBINARY(16) NOT NULL, len INT NOT NULL, PRIMARY KEY (addr, len))"); err != nil {
			return err
		}
		for from := 0; from < 1_000_000; from += 2000 {
			var query strings.Builder
			query.WriteString("INSERT INTO bare (addr, len) VALUES")
			for i := range 2000 {
				fmt.Fprintf(&query, "%s (X'%08X', 32)", strings.Repeat(",", min(i, 1)), 1<<24+(from+i)*3741)
			}
			if _, err := db.Exec(query.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

// BareSelect reads address and length of the active reports, the least that any reader must do. The hint after the
// table's name says which index to use.
func BareSelect(b *testing.B, db *sql.DB, hint string) func() time.Duration {
	return Timed(b, func() error {
		n := 0
		rows, err := db.Query("SELECT addr, len FROM report "+hint+" WHERE expires > ?", time.Now().UnixMicro())
		if err != nil {
			return err
		}
		defer rows.Close()
		var addr sql.RawBytes
		var len int
		for rows.Next() {
			if err := rows.Scan(&addr, &len); err != nil {
				return err
			}
			n++
		}
		if n < 900_000 {
			return fmt.Errorf("%d rows", n)
		}
		return rows.Err()
	})
}
