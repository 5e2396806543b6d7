//go:build !unix

package lease

import "io/fs"

const openFlags = 0

// trust trusts everything: Windows keeps other users out of a home folder by lists that the mode does not show.
func trust(fs.FileInfo) error { return nil }
