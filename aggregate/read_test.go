package aggregate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// naiveRead is Read as its documentation puts it, with strings and netip only.
func naiveRead(text string) (list []netip.Prefix, bad []string) {
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	for i, line := range strings.Split(text, "\n") {
		s := line
		if c := strings.IndexAny(s, "#;"); c >= 0 {
			s = s[:c]
		}
		s = strings.Trim(s, " \t\r")
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case len(line) >= chunk:
			bad = append(bad, fmt.Sprintf("%d %q", i+1, line[:200]))
		case s == "":
		case err != nil:
			bad = append(bad, fmt.Sprintf("%d %q", i+1, line[:min(len(line), 200)]))
		default:
			list = append(list, p)
		}
	}
	return list, bad
}

// checkRead reads with Read and compares with naiveRead.
func checkRead(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var got, want Set
	var bad []string
	err := got.Read(r, func(line int, text string, err error) {
		bad = append(bad, fmt.Sprintf("%d %q", line, text))
		if err == nil {
			t.Errorf("line %d is bad without an error", line)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	list, wantBad := naiveRead(text)
	for _, p := range list {
		want.Add(p)
	}
	if g, w := got.Prefixes(), want.Prefixes(); !slices.Equal(g, w) {
		t.Errorf("got %d prefixes, want %d", len(g), len(w))
	}
	if !slices.Equal(bad, wantBad) {
		t.Errorf("got bad lines %.300q (%d), want %.300q (%d)", bad, len(bad), wantBad, len(wantBad))
	}
}

func TestReadForms(t *testing.T) {
	const text = "\xef\xbb\xbf192.0.2.1\r\n" +
		"# a comment\n" +
		"; another\n" +
		"\n" +
		" \t 192.0.2.2 \t\r\n" +
		"192.0.2.9/29 # host bits\n" +
		"192.0.2.64/26;no blank\n" +
		"198.51.100.0/24\r\n" +
		"2001:db8::1\n" +
		"2001:DB8:1::/48\t# upper case\n" +
		"::ffff:203.0.113.9\n" +
		"::ffff:203.0.113.128/121\n" +
		"203.0.113.77 trailing\n" +
		"010.0.0.1\n" +
		"10.0.0.300\n" +
		"10.0.0\n" +
		"10.0.0.1/33\n" +
		"fe80::1%eth0\n" +
		"203.0.113.1,203.0.113.2\n" +
		"255.255.255.255"
	var set Set
	var bad []string
	err := set.Read(strings.NewReader(text), func(line int, text string, err error) {
		bad = append(bad, fmt.Sprintf("%d %s: %v", line, text, err))
	})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := set.WriteText(&got, "", "\n"); err != nil {
		t.Fatal(err)
	}
	const want = "192.0.2.1\n192.0.2.2\n192.0.2.8/29\n192.0.2.64/26\n198.51.100.0/24\n" +
		"203.0.113.9\n203.0.113.128/25\n255.255.255.255\n2001:db8::1\n2001:db8:1::/48\n"
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", &got, want)
	}
	wantBad := []string{
		`13 203.0.113.77 trailing: parse prefix "203.0.113.77 trailing": not an address or CIDR`,
		`14 010.0.0.1: parse prefix "010.0.0.1": not an address or CIDR`,
		`15 10.0.0.300: parse prefix "10.0.0.300": not an address or CIDR`,
		`16 10.0.0: parse prefix "10.0.0": not an address or CIDR`,
		`17 10.0.0.1/33: parse prefix "10.0.0.1/33": not an address or CIDR`,
		`18 fe80::1%eth0: parse prefix "fe80::1%eth0": an address with a zone means something on one machine only`,
		`19 203.0.113.1,203.0.113.2: parse prefix "203.0.113.1,203.0.113.2": not an address or CIDR`,
	}
	if !slices.Equal(bad, wantBad) {
		t.Errorf("got bad lines\n%s\nwant\n%s", strings.Join(bad, "\n"), strings.Join(wantBad, "\n"))
	}
	checkRead(t, strings.NewReader(text), text)
	checkRead(t, iotest.OneByteReader(strings.NewReader(text)), text)
	checkRead(t, iotest.DataErrReader(strings.NewReader(text+"\n")), text+"\n")
}

// randomText is about size bytes of lines: with share 0 IPv4 addresses only,
// else every share-th of another form, bad ones among them.
func randomText(r *rand.Rand, size, share int) string {
	var b []byte
	for len(b) < size {
		a := netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		b = a.AppendTo(b)
		if share > 0 && r.IntN(share) == 0 {
			odd := []string{"/24", "\n2001:db8::1", " x", "\r", "\n#", "\n\n", " # c", "\n10.0.0.01", "9", ".", "/32\r", "\n::ffff:10.0.0.1", "\n\xef\xbb\xbf"}
			b = append(b, odd[r.IntN(len(odd))]...)
		}
		b = append(b, '\n')
	}
	return string(b)
}

// TestReadFile has large files read by two workers, whose halves meet in
// different places, and as streams.
func TestReadFile(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	long := strings.Repeat(" ", chunk)
	texts := map[string]string{
		"addresses":           randomText(r, 5*chunk, 0),
		"mixed":               randomText(r, 5*chunk+12345, 50),
		"many bad lines":      randomText(r, 5*chunk, 2),
		"no end of line":      randomText(r, 5*chunk, 3) + "10.1.1.1",
		"odd middle":          randomText(r, 5*chunk-77, 9) + "10.1.1.1\r\n\n\n" + randomText(r, 5*chunk, 9),
		"bad from the middle": randomText(r, 5*chunk, 0) + strings.Repeat(strings.Repeat("x", 199)+"\n", 5*chunk/200),
		"one long line":       strings.Repeat("1", 5*chunk),
		"blank":               strings.Repeat("\n", 5*chunk),
		"long lines":          "#" + long + "\n10.0.0.1" + long + "\n10.0.0.2\n" + long[8:] + "10.0.0.3\n10.0.0.4" + long[9:] + "\n" + randomText(r, 3*chunk, 5) + long + long + "10.0.0.5",
		"short addresses":     strings.Repeat("1.1.1.1\n9.9.9.9\n", 5*chunk/16),
		"mark and bad":        "\xef\xbb\xbf10.0.0.1\nx\n" + randomText(r, 5*chunk, 7),
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			checkRead(t, f, text)
			if rest, err := io.ReadAll(f); err != nil || len(rest) > 0 {
				t.Errorf("%d bytes are left to read, %v", len(rest), err)
			}
			// From a place in the middle of a line on, what came before untouched.
			if _, err := f.Seek(3, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			checkRead(t, f, text[3:])
			checkRead(t, strings.NewReader(text), text)
		})
	}
}

// TestReadAdds reads two files into a set that has something.
func TestReadAdds(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 0))
	var got, want Set
	for range 2 {
		text := randomText(r, 5*chunk, 0)
		list, _ := naiveRead(text)
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Read(f, func(line int, text string, err error) { t.Error(line, text, err) }); err != nil {
			t.Fatal(err)
		}
		f.Close()
		for _, p := range append(list, netip.MustParsePrefix("2001:db8::/32")) {
			want.Add(p)
		}
		got.Add(netip.MustParsePrefix("2001:db8::/32"))
		if !slices.Equal(got.Prefixes(), want.Prefixes()) {
			t.Fatal("the sets differ")
		}
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("broken")
	var set Set
	r := io.MultiReader(strings.NewReader("10.0.0.1\n10.0.0.2\n10.0.0"), iotest.ErrReader(broken))
	err := set.Read(r, func(line int, text string, err error) { t.Errorf("bad line %d %q", line, text) })
	if !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
	// A line that was cut off by the error is no address.
	if got := fmt.Sprint(set.Prefixes()); got != "[10.0.0.1/32 10.0.0.2/32]" {
		t.Errorf("got %s", got)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := set.Read(dir, nil); err == nil {
		t.Error("a directory was read")
	}
}

func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":                "192.0.2.1/32",
		"192.0.2.1/24":             "192.0.2.0/24",
		"0.0.0.0/0":                "0.0.0.0/0",
		"255.255.255.255/0":        "0.0.0.0/0",
		"::/0":                     "::/0",
		"2001:db8::1":              "2001:db8::1/128",
		"2001:DB8::1/32":           "2001:db8::/32",
		"::ffff:203.0.113.9":       "203.0.113.9/32",
		"::ffff:203.0.113.9/120":   "203.0.113.0/24",
		"::ffff:0:0/96":            "0.0.0.0/0",
		"::ffff:0:0/95":            "::fffe:0:0/95",
		"64:ff9b::203.0.113.9/128": "64:ff9b::cb00:7109/128",
	} {
		p, err := ParsePrefix(text)
		if err != nil || p.String() != want {
			t.Errorf("ParsePrefix(%q) = %v, %v, want %s", text, p, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "192.0.2.1 ", " 192.0.2.1", "192.0.2", "192.0.2.01", "192.0.2.256", "192.0.2.1/33", "192.0.2.1/-1",
		"192.0.2.1/08", "192.0.2.1/", "/24", "192.0.2.1/24/24", "fe80::1%eth0", "fe80::%eth0/64", "::ffff:192.0.2.1%1",
		"::/129", "2001:db8:::1", "localhost", "192.0.2.1-192.0.2.9", "[::1]", "192.0.2.1:80", "0x7f.1", "3221225985",
	} {
		p, err := ParsePrefix(text)
		want := fmt.Sprintf("parse prefix %q: not an address or CIDR", text)
		if strings.Contains(text, "%") {
			want = fmt.Sprintf("parse prefix %q: an address with a zone means something on one machine only", text)
		}
		if err == nil || err.Error() != want {
			t.Errorf("ParsePrefix(%q) = %v, %v", text, p, err)
		}
	}
}

// FuzzParseIPv4 compares the parser with netip: it takes exactly what netip
// takes, and as the same address.
func FuzzParseIPv4(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "256.1.1.1", "01.1.1.1", "1.1.1.1:", "1.1.1", "1.1.1.1.1", "1..1.1", "1.1.1.0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b := append([]byte(text), '\n')
		addr, n := parseIPv4(append(b, make([]byte, quadRoom)...))
		want, err := netip.ParseAddr(text)
		if err == nil && want.Is4() && n != len(text) {
			t.Fatalf("parseIPv4(%q) takes %d bytes", text, n)
		}
		if n == 0 {
			return
		}
		if n > len(text) {
			t.Fatalf("parseIPv4(%q) takes %d bytes", text, n)
		}
		if got := toPrefix(false, u128{lo: uint64(addr)}, 0).Addr(); got.String() != text[:n] {
			t.Fatalf("parseIPv4(%q) = %v", text, got)
		}
	})
}

// FuzzParseIPv6 is the same for IPv6: all that netip takes but zones, dotted
// ends and ::ffff:0:0/96, and nothing else.
func FuzzParseIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
		"1:2:3:4:5:6:7:8::", "1:2:3:4::5:6:7:8", "1:::2", "1::2::3", "12345::", "1:", ":1", ":", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:", "ABCD:ef01::", "::ffff:1.2.3.4", "::ffff:102:304", "::fffe:102:304", "::1%a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		addr, n := parseIPv6([]byte(text + "\n"))
		want, err := netip.ParseAddr(text)
		if err == nil && want.Is6() && !want.Is4In6() && want.Zone() == "" && !strings.Contains(text, ".") && n != len(text) {
			t.Fatalf("parseIPv6(%q) takes %d bytes", text, n)
		}
		if n == 0 {
			return
		}
		want, err = netip.ParseAddr(text[:n])
		if got := toPrefix(true, addr, 0).Addr(); err != nil || got != want || got.Is4In6() {
			t.Fatalf("parseIPv6(%q) takes %d bytes, %v", text, n, got)
		}
	})
}

// FuzzRead compares Read with naiveRead, and what is written with what was
// read: written and read again the set is the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte("192.0.2.1\n2001:db8::/32 # x\n"))
	f.Add([]byte("\xef\xbb\xbf 192.0.2.1/24\r\n\r\n;\n::ffff:1.2.3.4\nx"))
	f.Add([]byte("::/0\n0.0.0.0/0\n::ffff:0:0/95\n::fffe:0:0/95"))
	f.Fuzz(func(t *testing.T, text []byte) {
		checkRead(t, bytes.NewReader(text), string(text))
		var set, again Set
		if err := set.Read(bytes.NewReader(text), func(int, string, error) {}); err != nil {
			t.Fatal(err)
		}
		for p := range set.All() {
			q, err := ParsePrefix(string(AppendPrefix(nil, p)))
			if err != nil {
				t.Fatal(err)
			}
			again.Add(q)
		}
		if got, want := again.Prefixes(), set.Prefixes(); !slices.Equal(got, want) {
			t.Fatalf("%v became %v", want, got)
		}
	})
}
