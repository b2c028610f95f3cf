object 1111111111111111111111111111111111111111
type commit
tag rollout/LEASE-20251027-021913/2-promote-25
tagger User One <user1@example> 1761531600 +0100
gpgsig x

promote
