package threecx

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestReadText(t *testing.T) {
	const none = ""
	for _, test := range []struct {
		name    string
		params  []string
		addr    string // or the error's text after "error: "
		bantime time.Duration
		reason  string
	}{
		{"list", []string{"203.0.113.6,3600,2026-03-01 10:00:00,Too many failed authentications"}, "203.0.113.6", time.Hour, "Too many failed authentications"},
		{"list, reason with commas", []string{"203.0.113.6,3600,later,a, b,c"}, "203.0.113.6", time.Hour, "a, b,c"},
		{"reason names own address", []string{"203.0.113.6,60,later,REGISTER to 192.0.2.1:5060"}, "203.0.113.6", time.Minute, "REGISTER to 192.0.2.1:5060"},
		{"array", []string{"203.0.113.6", "3600", "later", "flood"}, "203.0.113.6", time.Hour, "flood"},
		{"array of one list", []string{"203.0.113.6,60,later,flood"}, "203.0.113.6", time.Minute, "flood"},
		{"array, address later", []string{"SIP", "203.0.113.6", "60", "later", "flood"}, "203.0.113.6", time.Minute, "flood"},
		{"array as text", []string{`{203.0.113.6,3600,"2026-03-01 10:00",flood}`}, "203.0.113.6", time.Hour, "flood"},
		{"array as JSON", []string{`["203.0.113.6", "3600", "later", "flood"]`}, "203.0.113.6", time.Hour, "flood"},
		{"sentence", []string{"The IP 203.0.113.6 has been blacklisted for 86400 sec. Reason: Too many failed authentications, blocked"},
			"203.0.113.6", 24 * time.Hour, "Too many failed authentications, blocked"},
		{"sentence without time", []string{"The IP 203.0.113.6 has been blacklisted."}, "203.0.113.6", 0, ""},
		{"address only", []string{"203.0.113.6"}, "203.0.113.6", 0, ""},
		{"port", []string{"203.0.113.6:5060,60"}, "203.0.113.6", time.Minute, ""},
		{"IPv6", []string{"2001:db8::6,60,later,flood"}, "2001:db8::6", time.Minute, "flood"},
		{"IPv6 brackets", []string{"[2001:db8::6],60"}, "2001:db8::6", time.Minute, ""},
		{"IPv6 brackets and port", []string{"[2001:db8::6]:5060", "60"}, "2001:db8::6", time.Minute, ""},
		{"IPv6 zone", []string{"fe80::1%eth0,60"}, "fe80::1", time.Minute, ""},
		{"mapped", []string{"::ffff:203.0.113.6,60"}, "203.0.113.6", time.Minute, ""},
		{"/32", []string{"203.0.113.6/32,60"}, "203.0.113.6", time.Minute, ""},
		{"sip", []string{"REGISTER from <sip:100@203.0.113.6:5060;transport=udp> denied"}, "203.0.113.6", 0, ""},
		{"scheme", []string{"denied udp:203.0.113.6:5060."}, "203.0.113.6", 0, ""},
		{"twice the same", []string{"203.0.113.6 (::ffff:203.0.113.6) denied"}, "203.0.113.6", 0, ""},
		{"IPv6 in a sentence", []string{"Host [2001:db8::6]:5060, blocked at 12:30:45"}, "2001:db8::6", 0, ""},
		{"version is no address", []string{"3CX 18.0.3.450 blocked 203.0.113.6"}, "203.0.113.6", 0, ""},

		{"permanent is not said", []string{"203.0.113.6,-1,never,x"}, "203.0.113.6", 0, "x"},
		{"zero is not said", []string{"203.0.113.6,0"}, "203.0.113.6", 0, ""},
		{"no number is not said", []string{"203.0.113.6,soon"}, "203.0.113.6", 0, ""},
		{"longer than a Duration", []string{"203.0.113.6,9223372037"}, "203.0.113.6", 0, ""},
		{"longest", []string{"203.0.113.6,9223372036"}, "203.0.113.6", 9223372036 * time.Second, ""},

		{"two in the text", []string{"203.0.113.6 denied by 192.0.2.1"}, "error: two addresses in it, 203.0.113.6 and 192.0.2.1", 0, none},
		{"two in the list", []string{"203.0.113.6,203.0.113.7,60"}, "error: two addresses in it, 203.0.113.6 and 203.0.113.7", 0, none},
		{"network", []string{"203.0.113.0/24,60"}, "error: no address in it", 0, none},
		{"unspecified", []string{"0.0.0.0,60"}, "error: no address in it", 0, none},
		{"none", []string{"Trunk 10000 failed to register"}, "error: no address in it", 0, none},
		{"colons", []string{"sip::proxy at :: and 300.1.1.1"}, "error: no address in it", 0, none},
		{"long", []string{strings.Repeat("a:", 1<<20) + "203.0.113.6"}, "error: no address in it", 0, none},
		{"empty", []string{""}, "error: no address in it", 0, none},
		{"no elements", nil, "error: no address in it", 0, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			var e Event
			if err := e.readText(test.params); err != nil {
				if got := "error: " + err.Error(); got != test.addr {
					t.Fatalf("%s, want %s", got, test.addr)
				}
				return
			}
			if e.Addr.String() != test.addr || e.Bantime != test.bantime || e.Reason != test.reason {
				t.Errorf("got %v, %v, %q, want %s, %v, %q", e.Addr, e.Bantime, e.Reason, test.addr, test.bantime, test.reason)
			}
		})
	}
}

// What is read, written as a list again, reads the same; and it is an address as a store wants it.
func FuzzReadText(f *testing.F) {
	corpus, err := os.ReadFile(filepath.Join("testdata", "texts.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(corpus)) {
		f.Add(strings.TrimSuffix(line, "\n"), false)
		f.Add(strings.TrimSuffix(line, "\n"), true)
	}
	f.Fuzz(func(t *testing.T, text string, array bool) {
		params := []string{text}
		if array {
			params = strings.Split(text, ",")
		}
		var e Event
		if e.readText(params) != nil {
			return
		}
		if !e.Addr.IsValid() || e.Addr.Is4In6() || e.Addr.Zone() != "" || e.Addr.IsUnspecified() {
			t.Errorf("address %v from %q", e.Addr, text)
		}
		if e.Bantime < 0 || e.Bantime%time.Second != 0 {
			t.Errorf("ban time %v from %q", e.Bantime, text)
		}
		list := fmt.Sprintf("%v,%d,,%s", e.Addr, e.Bantime/time.Second, e.Reason)
		var again Event
		if err := again.readText([]string{list}); err != nil || again != e {
			t.Errorf("%q reads as %+v, again as %+v, %v", text, e, again, err)
		}
		for _, r := range quote(text) {
			if unicode.IsControl(r) {
				t.Errorf("quoted %q has a control character", quote(text))
			}
		}
	})
}

func TestQuote(t *testing.T) {
	if got, want := quote("a\x1b[31m\n\u009b\x00é\xff"), `"a\x1b[31m\n\u009b\x00é\xff"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := quote(strings.Repeat("é", 1000)); len(got) > 210 || !strings.HasSuffix(got, "é\"…") {
		t.Errorf("got %s", got)
	}
}

func TestSince(t *testing.T) {
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		mark time.Time
		want time.Duration // before the clock
	}{
		{"no mark", time.Time{}, 15 * time.Minute},
		{"a minute ago", clock.Add(-time.Minute), 15 * time.Minute},
		{"after an outage", clock.Add(-48 * time.Hour), 48*time.Hour + Overlap},
		{"the clock was set back", clock.Add(10 * time.Minute), 15 * time.Minute},
	} {
		if got := clock.Sub(Since(clock, test.mark, 15*time.Minute)); got != test.want {
			t.Errorf("%s: %v before the clock, want %v", test.name, got, test.want)
		}
	}
}

// The column with the text of an event is found by what is in it, also beside one that has the system's own address.
func TestScore(t *testing.T) {
	column := func(texts ...string) (s score) {
		for _, text := range texts {
			s.add([]*string{&text})
		}
		return s
	}
	for _, test := range []struct {
		name      string
		text, own score
	}{
		{"ban times", column("203.0.113.1,60", "localhost,60", "203.0.113.2,60"), column("192.0.2.1", "192.0.2.1", "192.0.2.1")},
		{"addresses", column("203.0.113.1 denied", "203.0.113.2 denied"), column("192.0.2.1", "192.0.2.1")},
		{"sentences", column("203.0.113.1 for 60 seconds", "203.0.113.1 for 60 sec"), column("192.0.2.1", "192.0.2.1")},
		{"one row", column("203.0.113.1,60"), column("192.0.2.1")},
	} {
		if !test.text.beats(test.own) || test.own.beats(test.text) {
			t.Errorf("%s: %+v does not beat %+v", test.name, test.text, test.own)
		}
	}
}
