package registry

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"time"
)

const (
	headerBytes    = 100
	walHeaderBytes = 32
	frameHeadBytes = 24
	magic          = "SQLite format 3\x00"
	// How often, and how far apart, to look again at a file that was written meanwhile.
	attempts = 200
	pause    = 10 * time.Millisecond
)

// errChanged says that somebody wrote while the file was read, so that what was read may belong to two states of it.
var errChanged = errors.New("the file is being written")

// A snapshot is one state of a database: its file, with the pages of its write-ahead log in their place
// (the SQLite file format, sections 1 and 4).
//
// It takes no locks. Instead it can tell whether anything was written since it was taken: pages of the file change only
// by a checkpoint, which writes what is in the log, so that a log without a new transaction means a file without a new page.
// Without a log it is the rollback journal, and the file's counter of changes, that tell.
type snapshot struct {
	file, wal *os.File
	header    [headerBytes]byte
	pageSize  int64
	pages     int64            // How many the database has.
	logged    map[uint32]int64 // Where in the log the newest committed version of a page is.
	walHeader []byte
	committed mark // Where the last transaction in the log ends.
	reads     int64
}

// A mark is a place between two frames of the log, with the sums of everything before it.
type mark struct {
	at   int64
	sums [2]uint32
}

// readSnapshot calls read with states of the database until one of them was not written meanwhile.
func readSnapshot(path string, read func(*snapshot) error) error {
	for range attempts {
		err := readOnce(path, read)
		if !errors.Is(err, errChanged) {
			return err
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("%s: %w, or its last writer was killed; open it with the program that writes it", path, errChanged)
}

func readOnce(path string, read func(*snapshot) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	s := &snapshot{file: file, logged: map[uint32]int64{}}
	defer s.close()
	if err := s.take(path); err != nil {
		return err
	}
	failed := read(s)
	if err := s.unchanged(path); err != nil {
		return err
	}
	return failed
}

func (s *snapshot) close() {
	_ = s.file.Close()
	if s.wal != nil {
		_ = s.wal.Close()
	}
}

func (s *snapshot) take(path string) error {
	if isJournaled(path) {
		return errChanged
	}
	if _, err := s.file.ReadAt(s.header[:], 0); err != nil || string(s.header[:16]) != magic {
		return fmt.Errorf("%s is no SQLite database", path)
	}
	s.pageSize = int64(binary.BigEndian.Uint16(s.header[16:]))
	if s.pageSize == 1 {
		s.pageSize = 65536
	}
	if s.pageSize < 512 || s.pageSize&(s.pageSize-1) != 0 {
		return fmt.Errorf("%s has pages of %d bytes", path, s.pageSize)
	}
	if encoding := binary.BigEndian.Uint32(s.header[56:]); encoding > 1 {
		return fmt.Errorf("%s holds texts that are not UTF-8 (encoding %d)", path, encoding)
	}
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	s.pages = size / s.pageSize
	if s.wal, err = os.Open(path + "-wal"); err == nil {
		return s.index()
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// index finds the committed frames of the log.
func (s *snapshot) index() error {
	header := make([]byte, walHeaderBytes)
	if n, _ := s.wal.ReadAt(header, 0); n < walHeaderBytes {
		// Empty: everything is in the file.
		return nil
	}
	s.walHeader = header
	sums := checksum(s.order(), [2]uint32{}, header[:24])
	if sums != sumsAt(header[24:]) || int64(binary.BigEndian.Uint32(header[8:])) != s.pageSize {
		// Not even its header is whole, so that nothing can have been committed.
		s.committed.at = -1
		return nil
	}
	s.committed = mark{at: walHeaderBytes, sums: sums}
	return s.scan(func(pages uint32, places map[uint32]int64, end mark) {
		s.pages, s.committed = int64(pages), end
		maps.Copy(s.logged, places)
	})
}

// scan hands over the transactions behind the last one that is known: how many pages the database has from then on, and
// where in the log those are that it wrote. A frame that does not fit the sums before it is behind the end of the log, or
// belongs to a transaction that is not committed.
func (s *snapshot) scan(each func(pages uint32, places map[uint32]int64, end mark)) error {
	next := s.committed
	if s.walHeader == nil || next.at < 0 {
		return nil
	}
	in := bufio.NewReaderSize(io.NewSectionReader(s.wal, next.at, math.MaxInt64-next.at), 1<<16)
	frame := make([]byte, frameHeadBytes+s.pageSize)
	places := map[uint32]int64{}
	for {
		if _, err := io.ReadFull(in, frame); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		next.sums = checksum(s.order(), checksum(s.order(), next.sums, frame[:8]), frame[frameHeadBytes:])
		if !bytes.Equal(frame[8:16], s.walHeader[16:24]) || next.sums != sumsAt(frame[16:]) {
			return nil
		}
		places[binary.BigEndian.Uint32(frame)] = next.at + frameHeadBytes
		next.at += int64(len(frame))
		if pages := binary.BigEndian.Uint32(frame[4:]); pages > 0 {
			each(pages, places, next)
			clear(places)
		}
	}
}

// order returns that of the bytes which the log's sums are made of.
func (s *snapshot) order() binary.ByteOrder {
	if s.walHeader[3]&1 == 1 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (s *snapshot) unchanged(path string) error {
	var header [headerBytes]byte
	if _, err := s.file.ReadAt(header[:], 0); err != nil {
		return err
	}
	if isJournaled(path) || len(s.logged) == 0 && header != s.header {
		return errChanged
	}
	if s.wal == nil {
		if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
			return errChanged
		}
		return nil
	}
	now := make([]byte, walHeaderBytes)
	if n, _ := s.wal.ReadAt(now, 0); !bytes.Equal(now[:n], s.walHeader) {
		return errChanged
	}
	changed := false
	err := s.scan(func(uint32, map[uint32]int64, mark) { changed = true })
	if err == nil && changed {
		return errChanged
	}
	return err
}

// page returns a page, which are counted from 1.
func (s *snapshot) page(number uint32) ([]byte, error) {
	if number == 0 || int64(number) > s.pages {
		return nil, fmt.Errorf("there is no page %d", number)
	}
	// The schema and one table are read, each page of them once: pages of a damaged file may lead in circles.
	if s.reads++; s.reads > 2*s.pages+1 {
		return nil, errMalformed
	}
	page := make([]byte, s.pageSize)
	if at, logged := s.logged[number]; logged {
		_, err := s.wal.ReadAt(page, at)
		return page, err
	}
	_, err := s.file.ReadAt(page, (int64(number)-1)*s.pageSize)
	return page, err
}

// usable returns how many bytes of a page hold content.
func (s *snapshot) usable() int { return int(s.pageSize) - int(s.header[20]) }

// isJournaled reports whether a transaction is being written into the file, or was when its writer died.
func isJournaled(path string) bool {
	journal, err := os.Open(path + "-journal")
	if err != nil {
		return false
	}
	defer func() { _ = journal.Close() }()
	var first [1]byte
	_, err = io.ReadFull(journal, first[:])
	// A journal that is kept between transactions begins with zeros.
	return err == nil && first[0] != 0
}

func checksum(order binary.ByteOrder, sums [2]uint32, data []byte) [2]uint32 {
	for ; len(data) >= 8; data = data[8:] {
		sums[0] += order.Uint32(data) + sums[1]
		sums[1] += order.Uint32(data[4:]) + sums[0]
	}
	return sums
}

func sumsAt(data []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])}
}
