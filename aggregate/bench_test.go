package aggregate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"go4.org/netipx"
)

// random4 and clustered4 are n IPv4 addresses: anywhere, or 50 in each of
// n/50 random /24s, as attackers sit in the ranges of a few hosters.
func random4(n int) []netip.Prefix { return addresses4(n, 1) }

func clustered4(n int) []netip.Prefix { return addresses4(n, 50) }

func addresses4(n, each int) []netip.Prefix {
	r := rand.New(rand.NewPCG(3, uint64(each)))
	list := make([]netip.Prefix, n)
	var net uint32
	for i := range list {
		a := r.Uint32()
		if each > 1 {
			if i%each == 0 {
				net = a
			}
			a = net&^255 | a&255
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a)
		list[i] = netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	r.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// random6 is n IPv6 addresses, four in each /64.
func random6(n int) []netip.Prefix {
	r := rand.New(rand.NewPCG(4, 0))
	list := make([]netip.Prefix, n)
	var net uint64
	for i := range list {
		if i%4 == 0 {
			net = 0x2000<<48 | r.Uint64()>>3
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], net)
		binary.BigEndian.PutUint64(b[8:], r.Uint64())
		list[i] = netip.PrefixFrom(netip.AddrFrom16(b), 128)
	}
	r.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// writeList writes list into a new file, one address a line.
func writeList(tb testing.TB, list []netip.Prefix) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "list")
	var b []byte
	for _, p := range list {
		b = append(AppendPrefix(b, p), '\n')
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// File to file, ours beside netipx's set builder on the same file.

func BenchmarkFileRandom1M(b *testing.B)       { benchmarkFile(b, random4(1_000_000)) }
func BenchmarkFileClustered1M(b *testing.B)    { benchmarkFile(b, clustered4(1_000_000)) }
func BenchmarkFileRandom10M(b *testing.B)      { benchmarkFile(b, random4(10_000_000)) }
func BenchmarkFileIPv6Random200k(b *testing.B) { benchmarkFile(b, random6(200_000)) }

func benchmarkFile(b *testing.B, list []netip.Prefix) {
	name := writeList(b, list)
	out := filepath.Join(b.TempDir(), "out")
	for _, m := range []struct {
		name string
		run  func(r io.Reader, w io.Writer) error
	}{{"f2bc", throughSet}, {"netipx", throughNetipx}} {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				r, err := os.Open(name)
				if err != nil {
					b.Fatal(err)
				}
				w, err := os.Create(out)
				if err != nil {
					b.Fatal(err)
				}
				if err := m.run(r, w); err != nil {
					b.Fatal(err)
				}
				r.Close()
				w.Close()
			}
		})
	}
}

func throughSet(r io.Reader, w io.Writer) error {
	var s Set
	var first error
	err := s.Read(r, func(_ int, _ string, err error) { first = err })
	if err != nil || first != nil {
		return errors.Join(err, first)
	}
	return s.WriteText(w, "", "\n")
}

func throughNetipx(r io.Reader, w io.Writer) error {
	var s netipx.IPSetBuilder
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		a, err := netip.ParseAddr(sc.Text())
		if err != nil {
			return err
		}
		s.Add(a)
	}
	set, err := s.IPSet()
	if err != nil {
		return err
	}
	bw := bufio.NewWriter(w)
	var line []byte
	for _, p := range set.Prefixes() {
		line = append(AppendPrefix(line[:0], p), '\n')
		if _, err := bw.Write(line); err != nil {
			return err
		}
	}
	return bw.Flush()
}

func BenchmarkAdd(b *testing.B) {
	list := random4(1_000_000)
	for b.Loop() {
		var s Set
		for _, p := range list {
			s.Add(p)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/address")
}

func BenchmarkSort1M(b *testing.B) {
	list := random4(1_000_000)
	for b.Loop() {
		b.StopTimer()
		var s Set
		for _, p := range list {
			s.Add(p)
		}
		b.StartTimer()
		s.Len()
	}
}

func BenchmarkFit(b *testing.B) {
	for _, m := range []struct {
		name string
		list []netip.Prefix
		n    int
	}{
		{"100k clustered to 3000", clustered4(100_000), 3000},
		{"100k random to 3000", random4(100_000), 3000},
		{"100k IPv6 to 3000", random6(100_000), 3000},
		{"1M clustered to 100000", clustered4(1_000_000), 100_000},
	} {
		b.Run(m.name, func(b *testing.B) {
			var s Set
			for _, p := range m.list {
				s.Add(p)
			}
			for b.Loop() {
				fitted, extra, err := s.Fit(m.n, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(fitted.Len()), "lines")
				b.ReportMetric(float64(extra.IPv4+extra.IPv6), "extra")
			}
		})
	}
}
