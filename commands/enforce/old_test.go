package enforce

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"f2bc/routes"
)

// Old routes are those that are, or were, banned; they go only when asked for, and not where the store is away.
func TestOld(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2")
	for _, p := range prefixes("1 2 3") {
		h.kernel.old = append(h.kernel.old, routes.Route{Prefix: p, Type: 6, Table: 254})
	}
	left := func() string {
		var ps []netip.Prefix
		for _, r := range h.kernel.old {
			ps = append(ps, r.Prefix)
		}
		return texts(ps)
	}
	empty := newHost(t)
	if empty.want(t, "none", empty.run(t), "", ""); strings.Contains(empty.said.String(), "of the old scripts") {
		t.Errorf("said %q", empty.said.String())
	}
	old, err := h.Old(t.Context())
	if err != nil || len(old) != 2 || left() != "1 2 3" || len(h.kernel.applied) != 0 {
		t.Errorf("%v, %v, left %s", old, err, left())
	}
	h.want(t, "a run", h.run(t), "", "1 2")
	const note = "2 blackhole routes of the old scripts in the main"
	if text := h.said.String(); left() != "1 2 3" || !strings.Contains(text, note) {
		t.Errorf("left %s, said %q", left(), text)
	}

	h.server.away = errAway
	h.kernel.state = routes.State{}
	h.want(t, "away", h.again(h.State).DeleteOld(t.Context()), "connection refused", "-")
	if _, err := h.again(h.State).Old(t.Context()); !errors.Is(err, errAway) || left() != "1 2 3" {
		t.Errorf("%v, left %s", err, left())
	}
	h.server.away = nil
	h.kernel.refuses = map[netip.Prefix]error{prefixes("2")[0]: errors.New("no memory")}
	h.want(t, "enforced not whole", h.again(h.State).DeleteOld(t.Context()), "1 change failed", "1")
	if left() != "1 2 3" {
		t.Errorf("left %s after a run that failed", left())
	}
	h.kernel.refuses = nil
	h.want(t, "whole", h.run(t), "", "1 2")
	h.kernel.refuses = map[netip.Prefix]error{prefixes("2")[0]: errors.New("no memory")}
	err = h.again(h.State).DeleteOld(t.Context())
	h.want(t, "one refused", err, "1 route of the old scripts not deleted: delete blackhole 203.0.113.4/32: no memory",
		"1 2")
	h.kernel.refuses = nil
	h.want(t, "rest", h.again(h.State).DeleteOld(t.Context()), "", "1 2")
	if left() != "3" {
		t.Errorf("left %s", left())
	}
}
