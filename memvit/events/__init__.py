"""What happened: rules turn the results of clips into events such as "person 3 waved from 12 s to 31 s"."""
