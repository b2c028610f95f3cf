object 1111111111111111111111111111111111111111
type commit
tag 
tagger User One <user1@example> 1761531600 +0100

promote
