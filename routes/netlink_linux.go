package routes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Netlink is the kernel of the network namespace that Open was called in. Its
// methods may be called at the same time.
type Netlink struct {
	settings Settings
	batch    int // requests a send

	mu   sync.Mutex    // one Apply at a time
	conn *netlink.Conn // nil after an error
	buf  []byte        // for a batch
	port atomic.Uint32 // of conn: how Watch tells our changes from others'
}

// Requests that fail are answered one by one into the socket's receive
// buffer while the send still runs. More than about 256 answers overflow the
// default one.
const defaultBatch = 256

// Open connects to the kernel. Changing anything needs CAP_NET_ADMIN, reading
// does not.
func Open(s Settings) (*Netlink, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	k := &Netlink{settings: s.WithDefaults(), batch: defaultBatch}
	if err := k.dial(); err != nil {
		return nil, err
	}
	return k, nil
}

// dial opens the socket that changes go through.
func (k *Netlink) dial() error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	// Without it every error carries its request, and fewer of them fit.
	if err := c.SetOption(netlink.CapAcknowledge, true); err != nil {
		c.Close()
		return fmt.Errorf("open netlink: %w", err)
	}
	if k.conn != nil {
		k.conn.Close()
	}
	k.conn = c
	k.port.Store(c.PID())
	return nil
}

// Close ends the connection. Routes and rules stay.
func (k *Netlink) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	return k.conn.Close()
}

// hasIPv6 says whether the kernel knows IPv6 at all. With ipv6.disable=1 a
// dump of its routes would silently be one of IPv4's.
func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return !errors.Is(err, unix.EAFNOSUPPORT)
	}
	unix.Close(fd)
	return true
}

// families returns those the kernel has.
func families() []Family {
	if hasIPv6() {
		return []Family{IPv4, IPv6}
	}
	return []Family{IPv4}
}

// dump calls f with every answer to a dump request on a socket of its own.
// reset is called before each attempt: the kernel says afterwards that a
// dump missed something because of a change, and then it is repeated.
func dump(ctx context.Context, proto int, typ uint16, body []byte, reset func(), f func(netlink.Message) error) error {
	const attempts = 20
	for range attempts {
		reset()
		interrupted, err := dumpOnce(ctx, proto, typ, body, f)
		if err != nil || !interrupted {
			return err
		}
	}
	return fmt.Errorf("dump interrupted %d times by changes: %w", attempts, unix.EAGAIN)
}

func dumpOnce(ctx context.Context, proto int, typ uint16, body []byte, f func(netlink.Message) error) (interrupted bool, err error) {
	// With a large buffer the kernel fills 32 KiB a message.
	c, err := netlink.Dial(proto, &netlink.Config{MessageBufferSize: 64 << 10})
	if err != nil {
		return false, fmt.Errorf("open netlink: %w", err)
	}
	defer c.Close()
	// Kernels before 4.20 do not filter; every caller looks at what it gets.
	if err := c.SetOption(netlink.GetStrictCheck, true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		return false, fmt.Errorf("open netlink: %w", err)
	}
	req := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request | netlink.Dump}, Data: body}
	if req, err = c.Send(req); err != nil {
		return false, err
	}
	n := 0
	for m, err := range c.ReceiveIter() {
		if err != nil {
			return false, err
		}
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		if m.Header.Sequence != req.Header.Sequence {
			continue
		}
		interrupted = interrupted || m.Header.Flags&netlink.DumpInterrupted != 0
		if err := f(m); err != nil {
			return false, err
		}
	}
	return interrupted, nil
}

// Read returns our routes and rules, and what others have put among them.
func (k *Netlink) Read(ctx context.Context) (State, error) {
	st := State{NoIPv6: true}
	for _, f := range families() {
		st.NoIPv6 = f != IPv6
		if err := k.readRoutes(ctx, f, &st); err != nil {
			return State{}, fmt.Errorf("read %s routes of table %d: %w", f, k.settings.Table, err)
		}
		if err := k.readRules(ctx, f, &st); err != nil {
			return State{}, fmt.Errorf("read %s rules: %w", f, err)
		}
	}
	return st, nil
}

func (k *Netlink) readRoutes(ctx context.Context, f Family, st *State) error {
	ours, foreign := len(st.Ours), len(st.Foreign)
	reset := func() { st.Ours, st.Foreign = st.Ours[:ours], st.Foreign[:foreign] }
	err := dump(ctx, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, routeQuery(f, k.settings.Table, 0), reset, func(m netlink.Message) error {
		r, err := parseRoute(m.Data, nil)
		if err != nil {
			return err
		}
		if r.Table != k.settings.Table || familyOf(r.Prefix) != f {
			return nil
		}
		if r == k.settings.blackhole(r.Prefix) {
			st.Ours = append(st.Ours, r.Prefix)
		} else {
			st.Foreign = append(st.Foreign, r)
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) { // no table until the first route
		err = nil
	}
	// A dump of IPv6 may give a route twice while others are added, and an IPv4
	// one gives the narrower of two with the same address first.
	if part := st.Ours[ours:]; !slices.IsSortedFunc(part, Compare) {
		slices.SortFunc(part, Compare)
	}
	st.Ours = slices.Compact(st.Ours)
	return err
}

func (k *Netlink) readRules(ctx context.Context, f Family, st *State) error {
	foreign := len(st.ForeignRules)
	found := false
	reset := func() { st.ForeignRules, found = st.ForeignRules[:foreign], false }
	ours := Rule{Family: f, Pref: k.settings.Pref, Table: k.settings.Table, Protocol: k.settings.Protocol}
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = f.af()
	err := dump(ctx, unix.NETLINK_ROUTE, unix.RTM_GETRULE, body, reset, func(m netlink.Message) error {
		r, plain, err := parseRule(m.Data)
		switch {
		case err != nil:
			return err
		case r.Family != f:
		case r == ours && plain:
			found = true
		case r.Pref == ours.Pref || r.Table == ours.Table:
			st.ForeignRules = append(st.ForeignRules, r)
		}
		return nil
	})
	if f == IPv4 {
		st.Rule4 = found
	} else {
		st.Rule6 = found
	}
	return err
}

// Lookup asks the kernel's own route lookup, rules and all, whether what this
// host sends to addr is dropped by a blackhole.
func (k *Netlink) Lookup(ctx context.Context, addr netip.Addr) (blackholed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	family := familyOf(netip.PrefixFrom(addr, 0))
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return false, fmt.Errorf("look up route to %s: %w", addr, err)
	}
	defer c.Close()
	body := []byte{family.af(), uint8(addr.BitLen()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	body = appendAttr(body, unix.RTA_DST, addr.AsSlice()...)
	ms, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request},
		Data:   body,
	})
	switch {
	case errors.Is(err, unix.EINVAL): // IPv4's answer for a blackhole
		return true, nil
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		return false, nil // no route, or someone's unreachable or prohibit
	case err != nil:
		return false, fmt.Errorf("look up route to %s: %w", addr, err)
	case len(ms) == 0:
		return false, fmt.Errorf("look up route to %s: %w", addr, errMalformed)
	}
	r, err := parseRoute(ms[0].Data, nil)
	return r.Type == unix.RTN_BLACKHOLE, err
}
