package commands

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
	"f2bc/store"
)

// A row has one cell a column: string, []string, bool, int, netip.Prefix, store.Time or anyName.
type row []any

// anyName is a source or reason that stands for all when it is empty.
type anyName string

var layouts = []string{"table", "json", "csv"}

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "table", Usage: "`FORMAT` of the answer: " + strings.Join(layouts, ", ")}
}

func parseLayout(c *cli.Context) (string, error) {
	layout := c.String("format")
	if !slices.Contains(layouts, layout) {
		return "", usagef("--format %q: want one of %s", layout, strings.Join(layouts, ", "))
	}
	return layout, nil
}

// parseListing is the check of a command that takes --format and no arguments.
func parseListing(layout *string) func(*cli.Context) error {
	return func(c *cli.Context) (err error) {
		if *layout, err = parseLayout(c); err != nil {
			return err
		}
		return noArguments(c)
	}
}

// render writes rows as a table for people, as a JSON array of objects, or as CSV. The columns' names are the keys.
func render(w io.Writer, layout string, columns []string, rows iter.Seq[row]) error {
	switch layout {
	case "json":
		return renderJSON(w, columns, rows)
	case "csv":
		return renderCSV(w, columns, rows)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.ReplaceAll(strings.Join(columns, "\t"), "_", " ")))
	for r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			cells[i] = isolated(printable(forPeople(cell)))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func renderCSV(w io.Writer, columns []string, rows iter.Seq[row]) error {
	out := csv.NewWriter(w)
	out.Write(columns)
	for r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			cells[i] = noFormula(cell, printable(forPrograms(cell)))
		}
		out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// noFormula puts a quote before a text that a spreadsheet would take for a formula.
func noFormula(cell any, text string) string {
	switch cell.(type) {
	case string, []string, anyName:
		if text != "" && strings.ContainsRune("=+-@", rune(text[0])) {
			return "'" + text
		}
	}
	return text
}

// isolated keeps a text that is written from right to left from turning what stands beside it in a line round.
func isolated(text string) string {
	if !strings.ContainsFunc(text, isRightToLeft) {
		return text
	}
	const firstStrongIsolate, popDirectionalIsolate = "\u2068", "\u2069"
	return firstStrongIsolate + text + popDirectionalIsolate
}

// isRightToLeft reports whether r is in one of the ranges that Unicode keeps for scripts that are written so (UAX #9).
func isRightToLeft(r rune) bool {
	return r >= 0x0590 && r <= 0x08ff || r >= 0xfb1d && r <= 0xfdff || r >= 0xfe70 && r <= 0xfeff || r >= 0x10800 && r <= 0x10fff ||
		r >= 0x1e800 && r <= 0x1efff
}

func renderJSON(w io.Writer, columns []string, rows iter.Seq[row]) error {
	between := "[\n"
	for r := range rows {
		line := []byte(between)
		for i, cell := range r {
			value, err := json.Marshal(forJSON(cell))
			if err != nil {
				return err
			}
			line = fmt.Appendf(line, `%s%q: %s`, [2]string{"  {", ", "}[min(i, 1)], columns[i], asciiControls(value))
		}
		if _, err := w.Write(append(line, '}')); err != nil {
			return err
		}
		between = ",\n"
	}
	end := "\n]\n"
	if between == "[\n" {
		end = "[]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// asciiControls escapes what encoding/json leaves as it is though a terminal would obey it.
func asciiControls(value []byte) string {
	var b strings.Builder
	for _, r := range string(value) {
		if unicode.IsPrint(r) || r > 0xffff {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// timeText is a time for people: UTC, to the minute.
func timeText(t store.Time) string {
	switch t {
	case 0:
		return "-"
	case store.Permanent:
		return "permanent"
	}
	return t.Std().Format("2006-01-02T15:04Z")
}

func forPeople(cell any) string {
	switch v := cell.(type) {
	case store.Time:
		return timeText(v)
	case []string:
		if more := len(v) - 3; more > 1 {
			return fmt.Sprintf("%s +%d", strings.Join(v[:3], ","), more)
		}
		return strings.Join(v, ",")
	case anyName:
		if v == "" {
			return "any"
		}
	case string:
		if v == "" {
			return "-"
		}
	case bool:
		if v {
			return "yes"
		}
		return "-"
	}
	return forPrograms(cell)
}

func forPrograms(cell any) string {
	switch v := cell.(type) {
	case store.Time:
		switch v {
		case 0:
			return ""
		case store.Permanent:
			return "permanent"
		}
		return v.Std().Format(time.RFC3339Nano)
	case netip.Prefix:
		return aggregate.Text(v)
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(cell)
}

// forJSON makes null of what has no value: the expiry of a permanent ban, the source of a lift of all sources.
func forJSON(cell any) any {
	switch v := cell.(type) {
	case store.Time:
		if v == 0 || v == store.Permanent {
			return nil
		}
		return forPrograms(v)
	case anyName:
		if v == "" {
			return nil
		}
	case []string:
		if v == nil {
			return []string{}
		}
	case netip.Prefix:
		return aggregate.Text(v)
	}
	return cell
}
