//go:build !linux

package routes

import (
	"context"
	"net/netip"
)

// Netlink is the kernel of a Linux host.
type Netlink struct{}

// Open answers ErrUnsupported, and so does everything else here.
func Open(s Settings) (*Netlink, error) { return nil, ErrUnsupported }

func (*Netlink) Close() error { return ErrUnsupported }

func (*Netlink) Read(ctx context.Context) (State, error) { return State{}, ErrUnsupported }

func (*Netlink) Apply(ctx context.Context, p Plan) (Result, error) { return Result{}, ErrUnsupported }

func (*Netlink) Lookup(ctx context.Context, addr netip.Addr) (bool, error) {
	return false, ErrUnsupported
}

func (*Netlink) Watch(ctx context.Context) (<-chan struct{}, error) { return nil, ErrUnsupported }

func (*Netlink) OldBlackholes(ctx context.Context) ([]Route, error) { return nil, ErrUnsupported }

func (*Netlink) DeleteOld(ctx context.Context, old []Route) (Result, error) {
	return Result{}, ErrUnsupported
}

// Entries answers ErrUnsupported.
func (Guard) Entries(ctx context.Context) ([]Entry, error) { return nil, ErrUnsupported }

// FilterTable is the name of an nftables table of Linux.
const FilterTable = "f2bc"

// InputFiltered answers ErrUnsupported.
func InputFiltered(ctx context.Context) (bool, error) { return false, ErrUnsupported }

// Connections answers ErrUnsupported.
func Connections(ctx context.Context) ([]Connection, error) { return nil, ErrUnsupported }
