package routes

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watchBuffer takes the messages of some ten thousand changes at once. What
// does not fit is lost, and counts as a change.
const watchBuffer = 4 << 20

// Watch sends on its channel whenever someone else changes our table or a
// rule at our preference: adds to it, replaces or deletes. Several changes
// may make one signal; what k itself does makes none. The channel is closed
// when ctx ends, or when the kernel can no longer be watched.
func (k *Netlink) Watch(ctx context.Context) (<-chan struct{}, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	for _, g := range []uint32{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE} {
		if err := c.JoinGroup(g); err != nil {
			c.Close()
			return nil, fmt.Errorf("watch routes: %w", err)
		}
	}
	if err := c.SetReadBuffer(watchBuffer); err != nil {
		c.Close()
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	changed := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	go func() {
		defer close(changed)
		defer c.Close()
		defer stop()
		for {
			ms, err := c.Receive()
			signal := errors.Is(err, unix.ENOBUFS)
			if err != nil && !signal {
				return
			}
			for _, m := range ms {
				signal = signal || k.othersChanged(m)
			}
			if signal {
				select {
				case changed <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
	}()
	return changed, nil
}

// othersChanged says whether m tells of a change to what is ours, by someone else.
func (k *Netlink) othersChanged(m netlink.Message) bool {
	if m.Header.PID == k.port.Load() {
		return false
	}
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, err := parseRoute(m.Data, nil)
		return err == nil && r.Table == k.settings.Table
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		r, _, err := parseRule(m.Data)
		return err == nil && (r.Pref == k.settings.Pref || r.Table == k.settings.Table)
	}
	return false
}
