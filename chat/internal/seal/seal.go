package seal
