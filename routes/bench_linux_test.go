package routes

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"f2bc/routes/netnstest"
	"f2bc/testdata/bench"
)

// scattered returns n different IPv4 addresses, sorted.
func scattered(n int) []netip.Prefix {
	seen := make(map[uint32]bool, n)
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(seen) < n {
		seen[1<<24+rnd.Uint32N(222<<24)] = true
	}
	ps := make([]netip.Prefix, 0, n)
	for a := range seen {
		ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), 32))
	}
	slices.SortFunc(ps, Compare)
	return ps
}

// BenchmarkCompareInstall compares, each in a fresh namespace and on the same
// 100,000 addresses: what we do, ip(8) reading a file, and a bare socket
// that is given finished requests, which is as fast as the kernel takes them.
func BenchmarkCompareInstall(b *testing.B) {
	want := scattered(100_000)
	name := filepath.Join(b.TempDir(), "batch")
	writeBatch(b, name, want)
	sends := finished(want)
	side := func(name string, f func(*netnstest.Namespace)) bench.Side {
		return bench.Side{Name: name, Run: func() time.Duration {
			ns := netnstest.New(b)
			start := time.Now()
			f(ns)
			took := time.Since(start)
			ns.Close()
			time.Sleep(time.Second) // the kernel takes the old one apart in its own time
			return took
		}}
	}
	ours := side("f2bc", func(ns *netnstest.Namespace) {
		k := open(b, ns)
		defer k.Close()
		if r := converge(b, ns, k, want); r.Added != len(want) {
			b.Fatalf("added %d", r.Added)
		}
	})
	for b.Loop() {
		bench.Compare(b, "100,000 routes installed", 5, ours, side("ip -force -batch", func(ns *netnstest.Namespace) { ns.Run("ip", "-force", "-batch", name) }), "at most 0.33")
		bench.Compare(b, "100,000 routes installed", 5, ours, side("bare netlink", func(ns *netnstest.Namespace) { ns.Do(func() { bareSend(b, sends) }) }), "at most 1.3")
	}
}

func writeBatch(b *testing.B, name string, want []netip.Prefix) {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, p := range want {
		fmt.Fprintf(w, "route add blackhole %s table 6686 proto 242\n", p)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// finished encodes requests for want in the order of Apply, a batch in each.
func finished(want []netip.Prefix) [][]byte {
	s := Settings{}.WithDefaults()
	at := fastOrder(want)
	var sends [][]byte
	for lo := 0; lo < len(want); lo += defaultBatch {
		hi := min(lo+defaultBatch, len(want))
		var buf []byte
		for i := lo; i < hi; i++ {
			body := appendRoute(nil, s.blackhole(want[at(i)]))
			flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
			if i == hi-1 {
				flags |= unix.NLM_F_ACK
			}
			buf = order.AppendUint32(buf, uint32(unix.SizeofNlMsghdr+len(body)))
			buf = order.AppendUint16(buf, unix.RTM_NEWROUTE)
			buf = order.AppendUint16(buf, flags)
			buf = order.AppendUint32(buf, uint32(i))
			buf = order.AppendUint32(buf, 0)
			buf = append(buf, body...)
		}
		sends = append(sends, buf)
	}
	return sends
}

func bareSend(b testing.TB, sends [][]byte) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	answer := make([]byte, 4096)
	for _, s := range sends {
		if err := unix.Sendto(fd, s, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			b.Fatal(err)
		}
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil || n < 20 || order.Uint32(answer[16:]) != 0 {
			b.Fatalf("answer %x: %v", answer[:n], err)
		}
	}
}

// BenchmarkDump100k compares a run that has nothing to do with ip(8) listing
// the same routes, and with a bare socket that only takes the kernel's answers.
func BenchmarkDump100k(b *testing.B) {
	want := scattered(100_000)
	ns := netnstest.New(b)
	k := open(b, ns)
	converge(b, ns, k, want)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if p := Diff(want, read(b, ns, k)); !p.IsEmpty() {
				b.Fatal("not in sync")
			}
		}
	})
	b.Run("ip-show", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("ip", strings.Fields("route show table 6686")...)
			if err := ns.Start(cmd); err != nil {
				b.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			ns.Do(func() { bareDump(b, len(want)) })
		}
	})
}

func bareDump(b *testing.B, want int) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		b.Fatal(err)
	}
	body := routeQuery(IPv4, 6686, 0)
	req := order.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	req = order.AppendUint16(req, unix.RTM_GETROUTE)
	req = order.AppendUint16(req, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req = append(append(req, 1, 0, 0, 0, 0, 0, 0, 0), body...)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		b.Fatal(err)
	}
	got, answer := 0, make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			b.Fatal(err)
		}
		for m := answer[:n]; len(m) > 0; m = m[order.Uint32(m):] {
			if order.Uint16(m[4:]) != unix.RTM_NEWROUTE {
				if got != want {
					b.Fatalf("%d routes", got)
				}
				return
			}
			got++
		}
	}
}

// BenchmarkMillion installs 1,000,000 routes and syncs again with a change.
func BenchmarkMillion(b *testing.B) {
	want := scattered(1_000_000)
	for b.Loop() {
		ns := netnstest.New(b)
		k := open(b, ns)
		converge(b, ns, k, want)
		if r := converge(b, ns, k, want[1:]); r.Added != 0 || r.Deleted != 1 || r.Failed != nil {
			b.Fatalf("%+v", r)
		}
		ns.Close()
	}
	b.ReportMetric(float64(peakRSS(b))/1024, "peak-MiB")
}

// peakRSS returns the most memory this process had so far, in KiB.
func peakRSS(b *testing.B) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib := 0
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib
}
