package hfmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// rewardHeadNames are the files in which ReasonFlux-PRM-1.5B keeps its head beside a plain causal LM: as published, and converted.
// The converted one, where there is one, is read.
var rewardHeadNames = [...]string{"reward_head.safetensors", "reward_head.pt"}

// RewardHeadName is the name of the folder's file with a head, "" if there is none.
func RewardHeadName(dir string) string {
	for _, name := range rewardHeadNames {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return name
		}
	}
	return ""
}

// OpenRewardHead opens the folder's file with a head.
func OpenRewardHead(dir string) (File, error) {
	name := RewardHeadName(dir)
	if name == "" {
		return nil, fmt.Errorf("%s: neither %s nor %s is there", dir, rewardHeadNames[0], rewardHeadNames[1])
	}
	file, err := openFile(filepath.Join(dir, name))
	if err != nil || name != rewardHeadNames[0] {
		return file, err
	}
	published, err := openFile(filepath.Join(dir, rewardHeadNames[1]))
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err == nil {
		err = errors.Join(sameTensors(file, published), published.Close())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// RewardHeadNames are the files that OpenRewardHead reads.
func RewardHeadNames() []string { return rewardHeadNames[:] }
