package import3cx

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/state"
	"f2bc/store/threecx"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

// What is another difference of the clocks, and what is it taken for.
func TestMeasure(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, c := range []struct {
		before, ahead, doubt time.Duration
		want                 time.Duration
	}{
		{0, 2 * s, 0, 0},
		{0, 2*s + 1, 0, 2 * s},
		{0, -2*s - 1, 0, -2 * s},
		{0, 3 * s, s, 0},
		{10 * s, 11900 * ms, 0, 10 * s},
		{10 * s, 12600 * ms, 0, 13 * s},
		{10 * s, 1400 * ms, 0, 0}, // set right
	} {
		kept := importState{Ahead: c.before}
		if changed := kept.measure(c.ahead, c.doubt); kept.Ahead != c.want || changed != (c.want != c.before) {
			t.Errorf("%v, then %v ± %v: %v, changed %v, want %v", c.before, c.ahead, c.doubt, kept.Ahead, changed, c.want)
		}
	}
}

// However the clock of the box is set, an event that was read keeps its date.
func TestDateStays(t *testing.T) {
	for range 200 {
		var kept importState
		dated := map[time.Time]store.Time{}
		now, ahead := noon, time.Duration(0)
		for range maxSteps {
			now = now.Add(rand.N(10 * time.Minute))
			if rand.N(3) == 0 {
				ahead = rand.N(4*time.Hour) - 2*time.Hour
			}
			clock := now.Add(ahead)
			kept.measure(ahead, 0)
			for at, date := range dated {
				if got := kept.date(at); got != date {
					t.Fatalf("%v is dated %v and was %v: %+v", at, got.Std(), date.Std(), kept)
				}
			}
			dated[clock], kept.Read, kept.Mark = kept.date(clock), later(kept.Read, clock), clock
			if date := dated[clock]; date > store.TimeOf(now.Add(clockTolerance)) {
				t.Fatalf("%v is dated %v, ahead of %v: %+v", clock, date.Std(), now, kept)
			}
		}
	}
}

// An older f2bc has left the mark under this name and in this form.
func TestFiles(t *testing.T) {
	into, err := store.ParseDSN("mysql://f2bc:secret@db1.example,db2.example:3307/f2bc")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Options: threecx.Options{DSN: "host=pbx", Events: []int{12290, 12292}}, Source: "pbx", Window: time.Hour}
	const target = "/run/postgresql:5432/database_single"
	if got := Name(o, target, into); got != "import-3cx-b1f45256" {
		t.Errorf("name %s", got)
	}
	o.Blacklist = true
	if got := Name(o, target, into); got != "import-3cx-4b6e3619" {
		t.Errorf("name for the blacklist %s", got)
	}
	text, err := json.Marshal(importState{noon, time.Minute, noon, []clockStep{{noon, time.Second}}})
	const want = `{"mark":"2026-03-01T12:00:00.123Z","ahead":60000000000,"read":"2026-03-01T12:00:00.123Z",` +
		`"steps":[{"until":"2026-03-01T12:00:00.123Z","ahead":1000000000}]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

// A run that fails leaves the mark; one that is damaged is said to be, and is as good as none.
func TestMark(t *testing.T) {
	var said strings.Builder
	away := errors.New("away")
	dir := state.Dir(filepath.Join(t.TempDir(), "state"))
	run := func() *Import {
		return &Import{
			Name: "import-3cx-0", State: dir,
			Open: func(context.Context) (*store.Store, error) { return nil, away },
			Say:  func(format string, args ...any) { said.WriteString(format) },
		}
	}
	first := run()
	if err := first.load(); err != nil || !first.kept.Mark.IsZero() {
		t.Errorf("no file: %+v, %v", first.kept, err)
	}
	first.kept.Mark = noon
	first.DryRun = func(string) error { return nil }
	if err := first.save(); err != nil || dir.Has(first.file()) {
		t.Errorf("a dry run keeps its mark, %v", err)
	}
	first.DryRun = nil
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	if err := run().Run(t.Context()); !errors.Is(err, away) {
		t.Errorf("without a store: %v", err)
	}
	next := run()
	if err := next.load(); err != nil || next.kept.Mark != noon || said.Len() > 0 {
		t.Errorf("%+v, %v, said %q", next.kept, err, said.String())
	}
	if err := os.WriteFile(dir.Path(next.file()), []byte(`{"ahead": 60000000000, "mark": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := run()
	if err := damaged.load(); err != nil || damaged.kept.Ahead != 0 || !strings.Contains(said.String(), "is not used") {
		t.Errorf("damaged: %+v, %v, said %q", damaged.kept, err, said.String())
	}
}
