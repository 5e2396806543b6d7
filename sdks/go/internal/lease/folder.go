package lease

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const maxBytes = 1 << 20

// Folder returns where the leases are: servers in $RUNAGENT_CACHE_DIR, by default in ~/.runagent.
func Folder() (string, error) {
	if folder := os.Getenv("RUNAGENT_CACHE_DIR"); folder != "" {
		return filepath.Join(folder, "servers"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".runagent", "servers"), nil
}

// Read returns the leases in a folder that can be trusted, the server that started last first, and a sentence on each
// file that was ignored. It makes nothing where there is no folder.
func Read(folder string) (leases []Lease, ignored []string) {
	names, err := list(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, []string{sentence(folder, err)}
	}
	for _, name := range names {
		path := filepath.Join(folder, name)
		lease, err := read(path)
		switch {
		case err == nil:
			leases = append(leases, lease)
		case !errors.Is(err, fs.ErrNotExist):
			// One that does not exist is of a server that has just stopped.
			ignored = append(ignored, sentence(path, err))
		}
	}
	slices.SortFunc(leases, func(a, b Lease) int {
		return cmp.Or(cmp.Compare(b.StartedAt, a.StartedAt), cmp.Compare(b.InstanceID, a.InstanceID))
	})
	return leases, ignored
}

func list(folder string) ([]string, error) {
	status, err := os.Lstat(folder)
	if err != nil {
		return nil, err
	}
	if !status.IsDir() {
		return nil, errors.New("is not a folder")
	}
	if err := trust(status); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

func read(path string) (Lease, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return Lease{}, err
	}
	defer func() { _ = file.Close() }()
	status, err := file.Stat()
	if err != nil {
		return Lease{}, err
	}
	if !status.Mode().IsRegular() {
		return Lease{}, errors.New("is not a file")
	}
	if err := trust(status); err != nil {
		return Lease{}, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return Lease{}, err
	}
	if len(text) > maxBytes {
		return Lease{}, errors.New("is larger than a lease can be")
	}
	lease, err := parse(text)
	if err == nil && lease.InstanceID+".json" != filepath.Base(path) {
		err = errors.New("is not named after its `instance_id`")
	}
	return lease, err
}

func sentence(path string, err error) string {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = fmt.Errorf("cannot be read (%w)", failed.Err)
	}
	return fmt.Sprintf("%s %v.", path, err)
}
