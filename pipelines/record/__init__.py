"""Records a video and a picture of each event, from the packets as they came, without encoding them again."""
