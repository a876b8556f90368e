package routes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// FilterTable is the name of the nftables table, of family inet, that drops
// what comes from a blackholed address.
const FilterTable = "f2bc"

// InputFiltered says whether IPv4 packets from a blackholed address are
// dropped when they come in, not only the answers to them: by an nftables
// table named FilterTable, or by rp_filter on every interface.
func InputFiltered(ctx context.Context) (bool, error) {
	const tableName = 1 // NFTA_TABLE_NAME
	found := false
	getTable := uint16(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE)
	err := collect(ctx, unix.NETLINK_NETFILTER, getTable, []byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, func(m netlink.Message) error {
		if len(m.Data) < 4 {
			return errMalformed
		}
		attrs, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return err
		}
		for attrs.Next() {
			found = found || attrs.Type() == tableName && attrs.String() == FilterTable && m.Data[0] == unix.NFPROTO_INET
		}
		return attrs.Err()
	})
	if found || errors.Is(err, unix.EPERM) {
		return found, err
	}
	// Any other error: this kernel has no nftables.
	return reversePathFilter("/proc/sys/net/ipv4/conf")
}

// reversePathFilter says whether every interface but loopback has it on. An
// interface uses the larger of its own value and that of "all".
func reversePathFilter(dir string) (bool, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", "rp_filter"))
	if err != nil {
		return false, err
	}
	on := 0
	for _, name := range names {
		device := filepath.Base(filepath.Dir(name))
		if device == "default" || device == "lo" {
			continue
		}
		value, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) { // gone in the meantime
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read rp_filter: %w", err)
		}
		switch off := strings.TrimSpace(string(value)) == "0"; {
		case device == "all" && !off:
			return true, nil
		case device == "all":
		case off:
			return false, nil
		default:
			on++
		}
	}
	return on > 0, nil
}
