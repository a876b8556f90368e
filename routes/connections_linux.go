package routes

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// From linux/inet_diag.h.
const (
	sizeofDiagReq  = 56 // struct inet_diag_req_v2
	sizeofDiagMsg  = 72 // struct inet_diag_msg
	tcpEstablished = 1
	tcpListen      = 10
)

// Connections returns the established TCP connections of this network
// namespace, without those to itself over loopback.
func Connections(ctx context.Context) ([]Connection, error) {
	var conns []Connection
	listening := make(map[uint16]bool)
	for _, f := range families() {
		// struct inet_diag_req_v2: family, protocol, extensions, padding, a bit for each state wanted.
		body := []byte{f.af(), unix.IPPROTO_TCP, 0, 0}
		body = order.AppendUint32(body, 1<<tcpEstablished|1<<tcpListen)
		body = append(body, make([]byte, sizeofDiagReq-len(body))...)
		start := len(conns)
		reset := func() { conns = conns[:start] }
		err := dump(ctx, unix.NETLINK_SOCK_DIAG, unix.SOCK_DIAG_BY_FAMILY, body, reset, func(m netlink.Message) error {
			c, state, err := parseDiag(m.Data)
			switch {
			case err != nil:
				return err
			case state == tcpListen:
				listening[c.Local.Port()] = true
			case state == tcpEstablished && !c.Remote.Addr().IsLoopback():
				conns = append(conns, c)
			}
			return nil
		})
		if errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("list TCP connections: the kernel module tcp_diag is missing: %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("list TCP connections: %w", err)
		}
	}
	for i := range conns {
		conns[i].Inbound = listening[conns[i].Local.Port()]
	}
	return conns, nil
}

// parseDiag reads a struct inet_diag_msg.
func parseDiag(b []byte) (c Connection, state uint8, err error) {
	if len(b) < sizeofDiagMsg {
		return c, 0, errMalformed
	}
	size := 16
	if b[0] == unix.AF_INET {
		size = 4
	}
	port := binary.BigEndian.Uint16
	c.Local = netip.AddrPortFrom(addrOf(b[8:8+size]).Unmap(), port(b[4:]))
	c.Remote = netip.AddrPortFrom(addrOf(b[24:24+size]).Unmap(), port(b[6:]))
	return c, b[1], nil
}
