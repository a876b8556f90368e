//go:build unix

package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkSocket says why a socket may be anybody's, who would then be told the password: it, and each link on the way,
// must belong to root, to us or to the owner of its directory, into which nobody else may write.
func checkSocket(path string) error {
	for range 10 {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		dir, err := os.Stat(filepath.Dir(path))
		if err != nil {
			return err
		}
		if owner := ownerOf(info); owner != 0 && owner != os.Geteuid() && owner != ownerOf(dir) {
			return fmt.Errorf("%s belongs to user %d, who is neither root, nor the owner of its directory, nor the one "+
				"who runs f2bc; name the server's own socket in the dsn, such as /run/mysqld/mysqld.sock", path, owner)
		}
		if dir.Mode().Perm()&0o022 != 0 && dir.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("others can put another socket in the place of %s (mode %04o); run chmod go-w %s",
				path, dir.Mode().Perm(), filepath.Dir(path))
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return fmt.Errorf("%s: too many links", path)
}

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
