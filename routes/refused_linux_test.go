package routes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"f2bc/routes/netnstest"
)

// batch runs ip(8) commands in ns.
func batch(t testing.TB, ns *netnstest.Namespace, family string, commands []string) {
	t.Helper()
	cmd := exec.Command("ip", family, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out.String())
	}
}

// failures returns the prefixes that r says failed with cause, sorted.
func failures(t *testing.T, r Result, cause error) []netip.Prefix {
	t.Helper()
	var ps []netip.Prefix
	for _, f := range r.Failed {
		if !errors.Is(f, cause) {
			t.Errorf("%v, want %v", f, cause)
		}
		ps = append(ps, f.Prefix)
	}
	slices.SortFunc(ps, Compare)
	return ps
}

func TestRefusedAreNamed(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	want := scattered(3000)
	var bad []netip.Prefix
	for i := 0; i < len(want); i += 7 {
		// The kernel refuses host bits; nothing else can be made to fail so well.
		want[i] = netip.PrefixFrom(want[i].Addr(), 8)
		bad = append(bad, want[i])
	}
	r := converge(t, ns, k, want)
	if got := failures(t, r, unix.EINVAL); !slices.Equal(got, bad) {
		t.Errorf("%d failures, want %d", len(got), len(bad))
	}
	good := slices.DeleteFunc(slices.Clone(want), func(p netip.Prefix) bool { return p.Bits() == 8 })
	if st := read(t, ns, k); !slices.Equal(st.Ours, good) || r.Added != len(good) {
		t.Errorf("added %d, there are %d, want %d", r.Added, len(st.Ours), len(good))
	}
}

// More answers than the socket's buffer holds: none may be forgotten.
func TestLostAnswers(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	k.batch = 4000
	want := scattered(4000)
	taken := want[:3900]
	var commands []string
	for _, p := range taken {
		commands = append(commands, fmt.Sprintf("route add unreachable %s table 6686", p))
	}
	batch(t, ns, "-4", commands)
	port := k.port.Load()
	r := converge(t, ns, k, want)
	if k.port.Load() == port {
		t.Fatal("no answer was lost: the test proves nothing")
	}
	if got := failures(t, r, ErrForeign); !slices.Equal(got, taken) || r.Added != 100 {
		t.Errorf("%d failures, %d added", len(got), r.Added)
	}
	if st := read(t, ns, k); !slices.Equal(st.Ours, want[3900:]) || len(st.Foreign) != len(taken) {
		t.Errorf("%d ours, %d foreign", len(st.Ours), len(st.Foreign))
	}
	// Deleting what is gone fails as often and is no failure.
	ns.Do(func() {
		r, err := k.Apply(t.Context(), Plan{Del: taken})
		if err != nil || r.Failed != nil || r.Deleted != len(taken) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// While someone else changes the tables all the time, a run still ends with
// what is wanted.
func TestSyncWhileItChanges(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	want := slices.Concat(scattered(5000), some[4:])
	for i := range 5000 {
		want = append(want, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 9, 13: byte(i % 100), 15: byte(i / 100)}), 128))
	}
	slices.SortFunc(want, Compare)
	cmd := exec.Command("sh", "-c", `while :; do
		for r in 223.255.255.1 1.0.0.0/30 2001:db8::/127 2001:db8:9::/120 2001:db8:ffff::1; do ip route add unreachable $r table 6686; done
		for r in 223.255.255.1 1.0.0.0/30 2001:db8::/127 2001:db8:9::/120 2001:db8:ffff::1; do ip route del unreachable $r table 6686; done
	done`)
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		converge(t, ns, k, want)
		converge(t, ns, k, want[i:])
	}
	cmd.Process.Kill()
	cmd.Wait()
	if r := converge(t, ns, k, want); r.Failed != nil {
		t.Errorf("%+v", r)
	}
	if st := read(t, ns, k); !slices.Equal(st.Ours, want) {
		t.Errorf("there are %d of %d", len(st.Ours), len(want))
	}
}

// A dump that a change interrupts is repeated from the start. The kernel says
// so for addresses, so they are what is dumped here.
func TestInterruptedDump(t *testing.T) {
	ns := netnstest.New(t)
	var commands []string
	for i := range 3000 {
		commands = append(commands, fmt.Sprintf("addr add 10.0.%d.%d/32 dev lo", i/250, i%250))
	}
	batch(t, ns, "-4", commands)
	attempts, n := 0, 0
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = unix.AF_INET
	ns.Do(func() {
		err := dump(t.Context(), unix.NETLINK_ROUTE, unix.RTM_GETADDR, body, func() { attempts++; n = 0 }, func(netlink.Message) error {
			if n++; n == 1 && attempts == 1 {
				ns.Run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo")
			}
			return nil
		})
		if err != nil || attempts != 2 || n != 3000+1+1 {
			t.Errorf("%d addresses in attempt %d, %v", n, attempts, err)
		}
	})
}

func TestCancelled(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ns.Do(func() {
		if _, err := k.Apply(ctx, Plan{Add: some}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if st := read(t, ns, k); st.Ours != nil {
		t.Errorf("%v", st.Ours)
	}
}

// Without CAP_NET_ADMIN reading works and the first change says what is missing.
func TestNotRoot(t *testing.T) {
	ns := netnstest.New(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"F2BC_TEST_SYNC=1"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out strings.Builder
	cmd.Stderr = &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if want := "add routes: changing routes needs root or CAP_NET_ADMIN: operation not permitted\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// A failed change leaves nothing behind that the next one could take for an answer.
func TestChangeAfterError(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	k.conn.Close()
	ns.Do(func() {
		if _, err := k.Apply(t.Context(), Plan{Add: some}); err == nil {
			t.Error("no error on a closed socket")
		}
	})
	converge(t, ns, k, some)
	if st := read(t, ns, k); !slices.Equal(st.Ours, some) {
		t.Errorf("%v", st.Ours)
	}
}

// A host with little or no IPv6 gets what it can take.
func TestIPv6Disabled(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	ns.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
	converge(t, ns, k, some)
	if st := read(t, ns, k); !slices.Equal(st.Ours, some) {
		t.Errorf("%v", st.Ours)
	}
}

// Loopback that goes down takes IPv6 blackholes with it; the next run repairs it.
func TestLoopbackDown(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	converge(t, ns, k, some)
	ns.Run("ip", "link", "set", "lo", "down")
	ns.Run("ip", "link", "set", "lo", "up")
	if r := converge(t, ns, k, some); r.Failed != nil {
		t.Errorf("%+v", r)
	}
	if st := read(t, ns, k); !slices.Equal(st.Ours, some) || !st.Rule6 {
		t.Errorf("%+v", st)
	}
}

// TestMain also is the process that TestKilled kills: a sync from one random list to the
// next, for ever.
func TestMain(m *testing.M) {
	if os.Getenv("F2BC_TEST_SYNC") == "" {
		os.Exit(m.Run())
	}
	k, err := Open(Settings{})
	for lists := killedLists(); err == nil; {
		var st State
		if st, err = k.Read(context.Background()); err == nil {
			_, err = Commit(context.Background(), k, Diff(lists[rand.IntN(len(lists))], st), nil)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func killedLists() [][]netip.Prefix {
	all := scattered(4000)
	return [][]netip.Prefix{all[:3000], all[1000:], all[1500:1600], append(all[:100:100], some...)}
}

func TestKilled(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	lists := killedLists()
	for _, l := range lists {
		slices.SortFunc(l, Compare)
	}
	for i := range 100 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "F2BC_TEST_SYNC=1")
		cmd.Stderr = os.Stderr
		if err := ns.Start(cmd); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+rand.IntN(60)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			t.Fatalf("the process was not killed, it ended: %v", cmd.ProcessState)
		}
		want := lists[i%len(lists)]
		converge(t, ns, k, want)
		if st := read(t, ns, k); !slices.Equal(st.Ours, want) || !st.Rule4 || !st.Rule6 || st.Foreign != nil || st.ForeignRules != nil {
			t.Fatalf("run %d: %d routes, want %d; %+v", i, len(st.Ours), len(want), st.Foreign)
		}
	}
}
