package commands

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"f2bc/routes/netnstest"
	"f2bc/store/mysqldouble"
	"f2bc/testdata/lab"
)

// synced is a host whose kernel has one list while the store has another one by now.
type synced struct {
	d    *doubled
	h    *lab.Host
	runs int
}

const (
	syncedStays, syncedGoes, syncedComes = "203.0.113.201", "203.0.113.203", "203.0.113.205"
)

func (d *doubled) newSynced(t *testing.T) *synced {
	t.Helper()
	s := &synced{d: d, h: lab.NewHost(t, "web1", netnstest.New(t))}
	s.h.NS.Run("ip", "link", "set", "lo", "up")
	return s
}

// reset makes the kernel as it was after the last sync.
func (s *synced) reset() {
	if slices.Equal(table(s.h), []string{syncedStays, syncedGoes}) {
		return
	}
	s.h.NS.Run("ip", "route", "flush", "table", "6686")
	for _, addr := range []string{syncedStays, syncedGoes} {
		s.h.NS.Run("ip", "route", "add", "blackhole", addr, "table", "6686", "proto", "242")
	}
}

// sync runs sync-routes on the host against a double that listens there.
func (s *synced) sync(t *testing.T, double func(net.Listener) *mysqldouble.Between) (code int, stderr string, sent int64, packets int) {
	t.Helper()
	var l net.Listener
	s.h.NS.Do(func() { l = mysqldouble.Listen(t) })
	defer l.Close()
	b := double(l)
	s.runs++
	state := s.h.Path(fmt.Sprint("state", s.runs))
	if s.runs > 1 {
		if err := os.CopyFS(state, os.DirFS(s.h.Path("state1"))); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(state)
	}
	cmd := f2bcProcess(t, "sync-routes")
	cmd.Env = append(cmd.Env, "F2BC_TEST_ROOT=1", "F2BC_TEST_PATIENCE=1s", "F2BC_SOURCE=web1", "F2BC_STATE_DIR="+state,
		"F2BC_PASSWORD="+doublePassword, fmt.Sprintf("F2BC_DSN=mysql://f2bc@%s/%s", l.Addr(), s.d.name))
	var said bytes.Buffer
	cmd.Stderr = &said
	s.h.Start(cmd)
	cmd.Wait() // the exit code says it
	if bytes.Contains(b.Received(), []byte(doublePassword)) || strings.Contains(said.String(), doublePassword) {
		t.Errorf("the password was sent or printed: %s", &said)
	}
	sent, packets = b.Sent()
	return cmd.ProcessState.ExitCode(), said.String(), sent, packets
}

// TestStalledSync: where the server stalls, or says something else, the routes stay as they are; or the run had all that
// it asked for, and they are as the list is.
func TestStalledSync(t *testing.T) {
	d := newDoubled(t)
	ban := func(args ...string) {
		t.Helper()
		if r := d.run(t.Context(), d.target, args...); r.code != 0 {
			t.Fatal(args, r.stderr)
		}
	}
	ban(append([]string{"unban"}, doubleBans()...)...)
	ban("ban", syncedStays, syncedGoes)
	honest := func(l net.Listener) *mysqldouble.Between { return mysqldouble.Stall(t, l, d.target, -1) }
	hosts := make([]*synced, 16)
	for i := range hosts {
		hosts[i] = d.newSynced(t)
		if code, stderr, _, _ := hosts[i].sync(t, honest); code != 0 || strings.Join(table(hosts[i].h), " ") != syncedStays+" "+syncedGoes {
			t.Fatal(code, stderr, table(hosts[i].h))
		}
	}
	ban("unban", syncedGoes)
	ban("ban", syncedComes)
	code, stderr, all, packets := hosts[0].sync(t, honest)
	if code != 0 || strings.Join(table(hosts[0].h), " ") != syncedStays+" "+syncedComes {
		t.Fatal(code, stderr, table(hosts[0].h))
	}

	type try struct {
		what   string
		double func(net.Listener) *mysqldouble.Between
		stalls bool
	}
	var tries []try
	stride := all / 100
	if testing.Short() {
		stride = all / 10
	}
	for after := int64(0); after < all; after += stride {
		tries = append(tries, try{fmt.Sprintf("a stall after %d of %d bytes", after, all),
			func(l net.Listener) *mysqldouble.Between { return mysqldouble.Stall(t, l, d.target, after) }, true})
	}
	file := filepath.Join(t.TempDir(), "none")
	for i, kind := range []string{"garbage", "one byte", "half", "OK", "error", "short error", "wrong sequence", "promises more", "file", "huge count", "full", "key"} {
		for where := i % 3; where < packets && (!testing.Short() || i == 0); where += 3 {
			tries = append(tries, try{fmt.Sprintf("%s as packet %d of %d", kind, where, packets), func(l net.Listener) *mysqldouble.Between {
				return mysqldouble.Replace(t, l, d.target, func(nth int, packet []byte) ([]byte, bool) {
					if nth != where {
						return packet, false
					}
					return mysqldouble.Nonsense(packet, file)[kind], false
				})
			}, false})
		}
	}
	var running sync.WaitGroup // not t.Parallel: most of the time is waited, whatever the number of cores
	for i, s := range hosts {
		running.Go(func() {
			for j := i; j < len(tries); j += len(hosts) {
				s.reset()
				code, stderr, _, _ := s.sync(t, tries[j].double)
				old := slices.Equal(table(s.h), []string{syncedStays, syncedGoes})
				now := slices.Equal(table(s.h), []string{syncedStays, syncedComes})
				if code == 1 && !old || code == 0 && !now && tries[j].stalls || code != 0 && code != 1 {
					t.Errorf("%s: exit code %d, routes %v, %s", tries[j].what, code, table(s.h), stderr)
				}
			}
		})
	}
	running.Wait()
}
