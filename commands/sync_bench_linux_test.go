package commands

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store"
	"f2bc/store/mariadbtest"
	"f2bc/testdata/bench"
)

// benchHost runs the built f2bc in a network namespace.
type benchHost struct {
	b   *testing.B
	ns  *netnstest.Namespace
	dir string
	dsn string
}

func newBenchHost(b *testing.B, dsn string) *benchHost {
	h := &benchHost{b: b, ns: netnstest.New(b), dir: b.TempDir(), dsn: dsn}
	if err := lab.Build(h.dir); err != nil {
		b.Fatal(err)
	}
	return h
}

func (h *benchHost) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(h.dir, "f2bc"), append([]string{"--dsn", h.dsn}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "F2BC_STATE_DIR=" + filepath.Join(h.dir, "state"), "F2BC_MAX_ROUTES=2000000"}
	cmd.Stderr = os.Stderr
	return cmd
}

// run returns how long f2bc took as a process.
func (h *benchHost) run(args ...string) time.Duration {
	took, _ := h.measure(args...)
	return took
}

// measure returns the most memory too. It is asked for again and again: what wait(2) says has our own in it, from
// before the exec.
func (h *benchHost) measure(args ...string) (took time.Duration, peak string) {
	cmd := h.command(args...)
	start := time.Now()
	if err := h.ns.Start(cmd); err != nil {
		h.b.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	kib := 0
	for {
		select {
		case err := <-done:
			if err != nil {
				h.b.Fatalf("f2bc %s: %v", strings.Join(args, " "), err)
			}
			return time.Since(start), fmt.Sprintf("%d MiB", kib>>10)
		case <-time.After(10 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			_, high, _ := strings.Cut(string(status), "VmHWM:")
			fmt.Sscan(high, &kib)
		}
	}
}

// bannedStore is a MariaDB with n scattered bans.
func bannedStore(b *testing.B, n int) (dsn string, st *store.Store) {
	db := mariadbtest.New(b)
	if err := db.Start(); err != nil {
		b.Fatal(err)
	}
	dsn = "mysql://root@/" + db.Database(b) + "?socket=" + db.Socket()
	st, err := store.Init(b.Context(), store.Options{DSN: dsn})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[uint32]bool{}
	var facts []store.Fact
	for len(facts) < n {
		a := (11<<24 + rnd.Uint32N(80<<24)) &^ 1 // no two can be merged
		if seen[a] {
			continue
		}
		seen[a] = true
		var bytes [4]byte
		binary.BigEndian.PutUint32(bytes[:], a)
		facts = append(facts, store.Fact{Prefix: netip.PrefixFrom(netip.AddrFrom4(bytes), 32), Source: "web1", Reason: "sshd", Bantime: store.Forever})
	}
	if err := st.Stamp(b.Context(), facts[:1], time.Time{}); err != nil {
		b.Fatal(err)
	}
	for i := range facts {
		facts[i].At = facts[0].At
	}
	if err := st.Write(b.Context(), facts); err != nil {
		b.Fatal(err)
	}
	return dsn, st
}

// The whole command with nothing to do, against a bare socket that takes the kernel's answer to the dump.
func BenchmarkCompareNothingToDo(b *testing.B) {
	const n = 100_000
	dsn, _ := bannedStore(b, n)
	h := newBenchHost(b, dsn)
	h.run("sync-routes")
	for b.Loop() {
		ours := bench.Side{Name: "f2bc sync-routes", Run: func() time.Duration { return h.run("sync-routes") }}
		dump := func(table uint32) func() error {
			return func() (err error) { h.ns.Do(func() { err = bareDump(table, n) }); return err }
		}
		bench.Compare(b, "100,000 bans in MariaDB and nothing to do", 7, ours, bench.Side{Name: "bare dump", Run: bench.Timed(b, dump(6686))}, "at most 4")
	}
}

// bareDump asks for the IPv4 routes of a table on a raw socket, and counts them.
func bareDump(table uint32, want int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return err
	}
	order := binary.NativeEndian
	body := append([]byte{unix.AF_INET}, make([]byte, 15)...)
	order.PutUint16(body[12:], 8)
	order.PutUint16(body[14:], unix.RTA_TABLE)
	body = order.AppendUint32(body, table)
	request := order.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	request = order.AppendUint16(request, unix.RTM_GETROUTE)
	request = order.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request = append(append(request, 1, 0, 0, 0, 0, 0, 0, 0), body...)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	got, answer := 0, make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return err
		}
		for m := answer[:n]; len(m) > 0; m = m[order.Uint32(m):] {
			if order.Uint16(m[4:]) != unix.RTM_NEWROUTE {
				if got != want {
					return fmt.Errorf("%d routes, want %d", got, want)
				}
				return nil
			}
			got++
		}
	}
}

// A million bans installed, and synced again after one more.
func BenchmarkCompareMillion(b *testing.B) {
	dsn, st := bannedStore(b, 1_000_000)
	for b.Loop() {
		h := newBenchHost(b, dsn)
		took, peak := h.measure("sync-routes")
		bench.Print("1,000,000 bans in MariaDB installed by f2bc sync-routes: %v, %s (goal: at most 400 MiB)", took.Round(10*time.Millisecond), peak)
		fact := []store.Fact{{Prefix: netip.MustParsePrefix("203.0.113.6/32"), Source: "web1", Reason: "sshd", Bantime: store.Forever}}
		if err := errors.Join(st.Stamp(b.Context(), fact, time.Time{}), st.Write(b.Context(), fact)); err != nil {
			b.Fatal(err)
		}
		took, peak = h.measure("sync-routes")
		bench.Print("1,000,000 bans synced again after one more: %v, %s (goal: at most 400 MiB)", took.Round(10*time.Millisecond), peak)
	}
}

// From f2bc ban on one host to the last packet that comes through on another, under --watch.
func BenchmarkCompareBanToDrop(b *testing.B) {
	const bans = 50
	dsn, _ := bannedStore(b, 1000)
	for b.Loop() {
		web1, web2 := newBenchHost(b, dsn), newBenchHost(b, dsn)
		attacker := netnstest.New(b)
		web2.ns.Veth("eth0", attacker, "eth0", []string{"198.51.100.1/24"}, []string{"198.51.100.2/24"})
		for i := range bans {
			attacker.Run("ip", "addr", "add", fmt.Sprintf("198.51.100.%d/24", 100+i), "dev", "eth0")
		}
		web2.ns.Do(func() { lab.Echo(b, "198.51.100.1:80") })
		watch := web2.command("sync-routes", "--watch")
		if err := web2.ns.Start(watch); err != nil {
			b.Fatal(err)
		}
		for !strings.Contains(web2.ns.Run("ip", "rule"), "6686") {
			time.Sleep(10 * time.Millisecond)
		}
		var all []time.Duration
		for i := range bans {
			from := fmt.Sprint("198.51.100.", 100+i)
			var c net.Conn
			var err error
			attacker.Do(func() {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
				c, err = d.Dial("tcp", "198.51.100.1:80")
			})
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			ban := web1.command("ban", from)
			ban.Stderr = io.Discard
			if err := web1.ns.Start(ban); err != nil {
				b.Fatal(err)
			}
			last := start
			for lab.Answers(c, 300*time.Millisecond) {
				last = time.Now()
				if last.Sub(start) > time.Minute {
					b.Fatal("never dropped")
				}
				time.Sleep(time.Millisecond)
			}
			c.Close()
			if err := ban.Wait(); err != nil {
				b.Fatal(err)
			}
			all = append(all, last.Sub(start))
		}
		if err := errors.Join(watch.Process.Signal(syscall.SIGTERM), watch.Wait()); err != nil {
			b.Fatal(err)
		}
		slices.Sort(all)
		bench.Print("from f2bc ban to the dropped packet under --watch, %d bans: median %v, slowest %v (goal: median at most 1s)", bans,
			all[bans/2].Round(time.Millisecond), all[bans-1].Round(time.Millisecond))
	}
}
